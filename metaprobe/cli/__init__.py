"""The command line: it parses, calls and prints; the arithmetic is elsewhere.

Every verb takes ``--json`` (one object on standard output, nothing else there) and ``--seed``,
be anything drawn at random or not, and ends with 0 done, 1 a check failed, 2 bad input or usage,
130 interrupted. What a verb needs is imported when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from . import cache, data
from .audit import audit
from .compare import compare
from .convert import convert
from .embed import embed, probe
from .inspect import inspect
from .map import map_
from .study import study
from .train import train

app = typer.Typer(
    name="metaprobe",
    help="What did adaptation do to an encoder's features?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for verb in (audit, train, embed, probe, compare, inspect, study, convert):
    app.command()(verb)
app.command("map")(map_)
app.add_typer(cache.app, name="cache")
app.add_typer(data.app, name="data")


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from .. import __version__

        typer.echo(f"metaprobe {__version__}")
        raise typer.Exit


UNFORESEEN = (
    "something unforeseen, {}: {}; this is a fault of metaprobe, please report it where you got it, "
    "with the traceback that METAPROBE_DEBUG=1 shows"
)


def main() -> None:
    """Run the command; errors end as one sentence."""
    from ..data.errors import MetaprobeError

    try:
        status = app(standalone_mode=False)
        if status == 130:  # what an interrupt inside a verb is turned into
            raise KeyboardInterrupt
    except MetaprobeError as error:
        _fail(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; what was kept is used by the same command", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}", 2)
    except MemoryError:
        _fail("this needs more memory than there is; ask for fewer episodes or smaller images", 2)
    except Exception as error:
        usage = _usage_sentence(error)
        if usage is None:
            if os.environ.get("METAPROBE_DEBUG"):
                traceback.print_exc()
            said = (str(error).splitlines() or [""])[0][:200]
            _fail(UNFORESEEN.format(type(error).__name__, said), 2)  # 1 is for a failed check
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(usage.removesuffix(" (see --help)"))
            sys.exit(2)
        _fail(usage, 2)
    else:
        sys.exit(status if isinstance(status, int) else 0)


def _fail(sentence: str, status: int) -> NoReturn:
    from ..data.errors import printable

    typer.secho(f"metaprobe: {printable(sentence)}", fg=typer.colors.RED, err=True)
    sys.exit(status)


def _usage_sentence(error: Exception) -> str | None:
    """The sentence of a usage error, whichever copy of click raised it."""
    said = getattr(error, "format_message", None)
    return f"{said()} (see --help)" if callable(said) else None

"""The command line: it parses, calls and prints; the arithmetic is elsewhere.

Every verb takes ``--json`` (one object on standard output, nothing else there) and ends with
0 done, 1 a gate failed, 2 bad input or usage, 130 interrupted. What a verb needs is imported
when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from .data.store import Store

app = typer.Typer(
    name="metaprobe",
    help="What did adaptation do to an encoder's features?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Seed = Annotated[int, typer.Option(help="The only source of randomness.")]
Cache = Annotated[
    Path | None, typer.Option("--cache", help="The store's folder [default: the user's cache].")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep embeddings.")]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Blocks side by side [default: the processors].")
]


def main() -> None:
    """Run the command; errors end as one sentence."""
    from .data.errors import MetaprobeError

    try:
        app(standalone_mode=False)
    except MetaprobeError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("interrupted; the same command goes on where it stopped", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except Exception as error:
        usage = _usage_sentence(error)
        if usage is None:
            raise
        _fail(usage, 2)


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from . import __version__

        typer.echo(f"metaprobe {__version__}")
        raise typer.Exit


@app.command()
def audit(
    checkpoints: Annotated[
        list[str], typer.Argument(help="Checkpoint files, or names of shipped ones.")
    ],
    data: Annotated[str, typer.Option(help="glyphs, digits, a folder, a .npz or .h5 file.")] = "glyphs",
    split: Annotated[str, typer.Option(help="Split that tasks are drawn from.")] = "test",
    off_data: Annotated[
        str | None,
        typer.Option(help="Draw T′ from other data, NAME or NAME/SPLIT (such as glyphs/far)."),
    ] = None,
    way: Annotated[int, typer.Option(help="Classes a task.")] = 5,
    shot: Annotated[int, typer.Option(help="Support images a class.")] = 1,
    query: Annotated[int, typer.Option(help="Query images a class.")] = 15,
    episodes: Annotated[int, typer.Option(help="Paired episodes.")] = 600,
    steps: Annotated[int | None, typer.Option(help="Inner steps [default: those of training].")] = None,
    gallery: Annotated[str, typer.Option(help="support, fresh or both.")] = "both",
    norm: Annotated[
        str | None, typer.Option(help="batch, running or support [default: that of training].")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(help="stored, class-means or zeros [default: stored, where it fits]."),
    ] = None,
    probe: Annotated[str, typer.Option(help="knn, class-mean or nil.")] = "knn",
    k: Annotated[int, typer.Option("-k", "--neighbours", help="Neighbours that vote.")] = 1,
    metric: Annotated[str, typer.Option(help="cosine or euclidean.")] = "cosine",
    sesoi: Annotated[float, typer.Option(help="Smallest effect of interest, a share.")] = 0.0025,
    resize: Annotated[bool, typer.Option("--resize", help="Let images be made to fit.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for audit.json, report and figures.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    jobs: Jobs = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure what adaptation does to the features of checkpoints.

    Example: metaprobe audit maml-glyphs-s0 meta-sgd-glyphs-s0 --episodes 300 --out report
    """
    from .analysis.audit import AuditSettings, save_audit
    from .analysis.audit import audit as run
    from .data.files import require_writable
    from .probes.cells import ProbeSettings

    settings = AuditSettings(
        data=data,
        split=split,
        off_data=off_data,
        way=way,
        shot=shot,
        query=query,
        episodes=episodes,
        seed=seed,
        steps=steps,
        gallery=_one_of(gallery, "gallery", "support", "fresh", "both"),
        norm=_one_of(norm, "norm", "batch", "running", "support"),
        head=_one_of(head, "head", "stored", "class-means", "zeros"),
        probe=ProbeSettings(
            _one_of(probe, "probe", "knn", "class-mean", "nil"),
            k,
            _one_of(metric, "metric", "cosine", "euclidean"),
        ),
        sesoi=sesoi,
        device=device,
        resize=resize,
    )
    if out is not None:
        require_writable(out)
    sources = list(checkpoints)
    with _progress("blocks") as told:
        result = run(
            sources[0] if len(sources) == 1 else sources,
            settings,
            store=_store(cache, no_cache),
            jobs=jobs or os.cpu_count() or 1,
            progress=told,
            command=" ".join(["metaprobe", *sys.argv[1:]]),
        )
    files = save_audit(result, out) if out is not None else []
    if as_json:
        sys.stdout.write(result.to_json())
        return
    from .analysis.terminal import show

    show(result, files=[f for f in files if f.suffix in {".html", ".json"}])


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe in TOML.")],
    out: Annotated[
        Path | None, typer.Option(help="The .safetensors file [default: from the recipe's name].")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Replaces the recipe's seed.")] = None,
    as_json: Json = False,
) -> None:
    """Meta-train an encoder; a killed run goes on where it stopped.

    Example: metaprobe train checkpoints/recipes/maml.toml --seed 1 --out maml-glyphs-s1.safetensors
    """
    from .data.datasets import open_dataset
    from .data.files import require_writable
    from .models.recipe import read_recipe
    from .models.training import State
    from .models.training import train as run

    wanted = read_recipe(recipe, seed=seed)
    path = out or Path(f"{recipe.stem}-{wanted.data.name}-s{wanted.seed}.safetensors")
    require_writable(path.parent)
    training = open_dataset(wanted.data.name, wanted.data.train)
    validation = open_dataset(wanted.data.name, wanted.data.validation)
    with _progress("steps") as told:

        def tell(state: State) -> None:
            best = f"{state.best:.3f}" if state.history else "–"
            told(f"{path.stem}, validation {best}", state.step, wanted.outer.steps)

        state = run(wanted, training, validation, path, progress=tell)
    done = {
        "checkpoint": str(path),
        "validation_accuracy": state.best,
        "best_step": state.best_step,
        "steps": state.step,
    }
    _say(
        done,
        f"{path}: validation accuracy {state.best:.4f} at step {state.best_step} of {state.step}",
        as_json,
    )


data_app = typer.Typer(help="Datasets: list them, show one.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@data_app.command("list")
def data_list(as_json: Json = False) -> None:
    """List the datasets that need no download.

    Example: metaprobe data list
    """
    from .data.datasets import BUILT_IN

    _say(BUILT_IN, "\n".join(f"{n:8} {', '.join(s)}" for n, s in BUILT_IN.items()), as_json)


@data_app.command("show")
def data_show(
    name: Annotated[str, typer.Argument(help="glyphs, digits, a folder, a .npz or .h5 file.")],
    split: Annotated[str, typer.Option(help="Which split.")] = "test",
    as_json: Json = False,
) -> None:
    """Show what a dataset holds.

    Example: metaprobe data show glyphs --split test
    """
    from .data.datasets import open_dataset

    found = open_dataset(name, split)
    groups = {g: found.groups.count(g) for g in dict.fromkeys(found.groups)}
    facts = {
        "name": found.name,
        "split": found.split,
        "images": len(found),
        "shape": list(found.shape),
        "classes": len(found.classes),
        "groups": groups,
        "fingerprint": found.fingerprint,
    }
    text = "\n".join(f"{key:12} {value}" for key, value in facts.items())
    _say(facts, text, as_json)


def _store(cache: Path | None, no_cache: bool) -> Store | None:
    """The store, or one sentence why it cannot be used."""
    from .data.errors import StoreError
    from .data.store import Store, default_cache_dir

    if no_cache:
        return None
    store = Store(cache or default_cache_dir())
    problem = store.unwritable()
    if problem is not None:
        raise StoreError(f"{problem}; choose another --cache, or --no-cache", code=problem.code)
    return store


def _one_of(value: Any, what: str, *allowed: str) -> Any:
    from .data.errors import MetaprobeError

    if value is not None and value not in allowed:
        raise MetaprobeError(
            f"--{what} {value!r} is unknown; choose {', '.join(allowed)}", code=f"unknown-{what}"
        )
    return value


def _say(facts: Any, text: str, as_json: bool) -> None:
    typer.echo(json.dumps(facts, allow_nan=False) if as_json else text)


def _fail(sentence: str, status: int) -> None:
    typer.secho(f"metaprobe: {sentence}", fg=typer.colors.RED, err=True)
    sys.exit(status)


def _usage_sentence(error: Exception) -> str | None:
    """The sentence of a usage error, whichever copy of click raised it."""
    said = getattr(error, "format_message", None)
    return f"{said()} (see --help)" if callable(said) else None


@contextmanager
def _progress(unit: str) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error, one line for each named piece of work."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bars: dict[str, Any] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def tell(name: str, done: int, whole: int) -> None:
            key = name.partition(",")[0]
            if key not in bars:
                bars[key] = progress.add_task(name, total=whole)
            progress.update(bars[key], completed=done, description=name)

        yield tell


if __name__ == "__main__":
    main()

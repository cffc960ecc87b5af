"""Maps on a page: the one script a page may run, named by its hash, and a page of one map.

A page allows no script but those whose SHA-256 its policy names: BokehJS and a few lines
beside it. What a checkpoint or a dataset calls itself can so never run, whatever it is.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ..inline_svg import inline_svg
from ..pages import FOLDER, environment, style_sheet
from .interactive import Live, library, live
from .result import Map


@dataclass(frozen=True)
class Code:
    """What a page of maps carries.

    Args:
        scripts: The scripts, in order.
        data: What they draw, as JSON without ``<``.
        policy: Sources for ``script-src``.
    """

    scripts: tuple[Markup, ...]
    data: Markup
    policy: Markup


def live_maps(maps: Sequence[tuple[str, Map]]) -> tuple[tuple[Live, ...], Code]:
    """Maps under the names of their elements, as templates show them, and the code they share."""
    shown, plain = live(maps)
    text = json.dumps(plain, separators=(",", ":"), allow_nan=False)
    scripts = (library(), (FOLDER / "map.js").read_text(encoding="utf-8"))
    if any("</script" in script.lower() or "<!--" in script for script in scripts):
        raise ValueError("a script that would end its own element cannot be put into a page")
    return shown, Code(
        tuple(map(Markup, scripts)),
        Markup(text.replace("<", "\\u003c")),
        Markup(" ".join(f"'sha256-{_digest(script)}'" for script in scripts)),
    )


def map_page(drawn: Map) -> str:
    """One map as a page that needs nothing else."""
    from ..figures import svg_text

    [shown], code = live_maps([("map", drawn)])
    return (
        environment()
        .get_template("map_page.html")
        .render(
            drawn=drawn,
            map=shown,
            code=code,
            svg=inline_svg(svg_text(drawn.plot()), "still"),
            css=style_sheet(),
        )
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

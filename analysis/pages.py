"""What every page is written with: one environment, strict and escaping, and its filters.

Every string of a checkpoint is escaped, and control signs in it are spelt out.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ..data.errors import printable
from .audit_parts import Gate
from .number_words import percent, plain_points, points, share
from .sections.values import Line
from .wording import quantity_name, uncorrected

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class ExtraSection:
    """A section of the report that was measured apart.

    Args:
        title: Its entry in the contents.
        anchor: Its id on the page.
        html: The section; whatever came from a file is escaped in it already.
    """

    title: str
    anchor: str
    html: Markup


def style_sheet(*names: str) -> Markup:
    """Style sheets by name after the palette: light and dark, screen and paper."""
    files = [FOLDER / f"{name}.css" for name in ("palette", *(names or ("report",)))]
    return Markup("".join(file.read_text(encoding="utf-8") for file in files))


@cache
def environment() -> Environment:
    """Where templates come from, and what they may call."""
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_without_control_signs,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        formula=_formula,
        tidy=_tidy,
        share=share,
        points=points,
        plain_points=plain_points,
        percent=percent,
        p_value=lambda p: "–" if p is None else f"{p:.2g}" if p >= 1e-4 else "< 0.0001",
        number=_number,
        fixed=lambda x, digits=2: "–" if x is None else f"{x:.{digits}f}".replace("-", "−"),
        gate_found=_gate_found,
        line_value=_line_value,
        line_ends=_line_ends,
        quantity_name=quantity_name,
        uncorrected=uncorrected,
        pretty=lambda x: json.dumps(x, indent=2, ensure_ascii=False),
    )
    return made


def _without_control_signs(value: Any) -> Any:
    """Names come from strangers' files; markup of our own stays as it is."""
    if type(value) is not str:
        return value
    return "\n".join(map(printable, value.split("\n")))


def _number(x: float | None, digits: int = 4) -> str:
    if x is None:
        return "–"
    small = x != 0 and abs(x) < 10 ** (1 - digits)
    return (f"{x:.1e}" if small else f"{x:.{digits}f}").replace("-", "−")


def _gate_found(gate: Gate) -> str:
    """What a gate's sentence says beyond the condition itself."""
    head = f"{gate.gate} ("
    values = gate.sentence.removeprefix(head)
    return values if values == gate.sentence else values.removesuffix(")")


def _line_value(line: Line) -> str:
    from .sections.figure import number

    return number(line)


def _line_ends(line: Line) -> str:
    from .sections.figure import ends

    return ends(line)


def _formula(text: str) -> Markup:
    """θ_T with its index set low."""
    return Markup(str(escape(text)).replace("θ_T", "θ<sub>T</sub>"))


def _tidy(text: str) -> str:
    """No line break inside ``95 %``, ``0.98 to 1.43`` or ``5-way``."""
    text = re.sub(r" (?=%)|(?<=\d) (?=to [−+\d])|(?<=\d to) (?=[−+\d])", "\u00a0", text)
    return re.sub(r"(?<=\d)-(?=way|shot)", "\u2011", text)

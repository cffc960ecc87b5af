"""Figures inside a page: SVG that follows its colours, in a third less bytes."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from .figure_parts import BAND, BOTH, INK, OFF, ON, QUIET

_OUTLINE = re.compile(r'<path id="([^"]+)"( d="[^"]+"(?: transform="[^"]+")?)/>')


def inline_svg(svg: str, name: str) -> Markup:
    """Matplotlib's SVG made fit for a page: own ids, themed colours, no prolog, no metadata."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.S)
    body = _smaller(body)
    body = _renamed(body, f"f{hashlib.sha256(name.encode()).hexdigest()[:5]}")
    colours = {INK: "ink", QUIET: "quiet", BAND: "band", ON: "on", OFF: "off", BOTH: "both"}
    for colour, variable in {**colours, "#ffffff": "card"}.items():
        body = re.sub(rf"(fill|stroke): {colour}", rf"\1: var(--{variable})", body)
    attributes = f'aria-hidden="true" focusable="false" id="{name}-svg"'
    return Markup(re.sub(r"<svg ", f"<svg {attributes} ", body, count=1))


def shared_outlines(pictures: Sequence[Markup]) -> tuple[Markup, list[Markup]]:
    """Letters and marks that two pictures or more draw, once for a page; and the pictures left.

    Most of a figure's bytes are the outlines of its letters, the same in every figure.
    """
    counts = Counter(
        what for picture in pictures for what in {m[2] for m in _OUTLINE.finditer(picture)}
    )
    known = {
        what: f"o{n:x}" for n, what in enumerate(w for w, count in counts.items() if count > 1)
    }
    left = []
    for picture in pictures:
        new = {m[1]: known[m[2]] for m in _OUTLINE.finditer(picture) if m[2] in known}
        body = _OUTLINE.sub(lambda m: "" if m[2] in known else m[0], picture)
        body = re.sub(r'href="#([^"]+)"', lambda m, new=new: f'href="#{new.get(m[1], m[1])}"', body)  # type: ignore[misc]
        left.append(Markup(body.replace("<defs></defs>", "")))
    outlines = "".join(f'<path id="{name}"{what}/>' for what, name in known.items())
    return Markup(
        '<svg width="0" height="0" aria-hidden="true" focusable="false" style="position:absolute">'
        f"<defs>{outlines}</defs></svg>"
    ), left


def _renamed(body: str, prefix: str) -> str:
    """Short names of its own for what is referred to; the rest needs none."""
    named = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    short = {old: f"{prefix}-{n:x}" for n, old in enumerate(named)}
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{short[m[1]]}"' if m[1] in short else "", body)
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda m: m[1] + short[m[2]], body)


def _smaller(body: str) -> str:
    """The same picture: a hundredth of a point is enough, and spaces between marks say nothing."""
    body = re.sub(r"scale\([^)]*\)|(-?\d+\.\d\d)\d+", lambda m: m[1] or m[0], body)
    body = re.sub(r"\s*\n\s*", " ", body)
    body = re.sub(r"> <", "><", body)
    body = re.sub(r" (?=[zMLQC]\b)|(?<=[MLQCz]) (?=[-\d])", "", body)
    # marks cut to one panel, each in a group of its own
    one = re.compile(r'(<g clip-path="([^"]+)">(?:<use [^>]*/>)+)</g><g clip-path="\2">')
    while (joined := one.sub(r"\1", body)) != body:
        body = joined
    # the same mark many times over
    many = re.compile(r'(?:<use [^>]*? style="([^"]*)"/>)(?:<use [^>]*? style="\1"/>)+')
    return many.sub(
        lambda m: (
            f'<g style="{m[1]}">{m[0].replace(chr(32) + "style=" + chr(34) + m[1] + chr(34), "")}</g>'
        ),
        body,
    )

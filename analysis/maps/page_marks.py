"""The marks of a map on a page: the same ten as in print, seen on light and on dark paper."""

from __future__ import annotations

from functools import cache

from matplotlib.colors import to_hex, to_rgb

MARKS = (
    ("circle", "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z"),
    ("square", "M-.9-.9H.9V.9H-.9Z"),
    ("triangle", "M0-1L1 .8H-1Z"),
    ("diamond", "M0-1L.7 0L0 1L-.7 0Z"),
    ("inverted_triangle", "M0 1L1-.8H-1Z"),
    ("plus", "M-.35-1H.35V-.35H1V.35H.35V1H-.35V.35H-1V-.35H-.35Z"),
    ("square_pin", "M-1-1Q0-.4 1-1Q.4 0 1 1Q0 .4-1 1Q-.4 0-1-1Z"),
    ("hex", "M1 0L.5.87H-.5L-1 0L-.5-.87H.5Z"),
    ("triangle_pin", "M0-1Q.2 .2 1 .8Q0 .5-1 .8Q-.2 .2 0-1Z"),
    ("star", "M0-1L.26-.3H1L.4.15L.62.9L0 .45L-.62.9L-.4.15L-1-.3H-.26Z"),
)
"""Marks by the names that BokehJS has for them, and as paths for a legend."""

MIDDLE = 0.28
"""Relative luminance that no outline exceeds: 3 to 1 against white, and against the dark page."""


@cache
def outline(colour: str) -> str:
    """The colour, made dark enough to stand out from a white page."""
    red, green, blue = to_rgb(colour)

    def luminance(factor: float) -> float:
        light = [((factor * c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
        return float(0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2])

    factor = next(f / 100 for f in range(100, 0, -1) if luminance(f / 100) <= MIDDLE)
    return to_hex((factor * red, factor * green, factor * blue))

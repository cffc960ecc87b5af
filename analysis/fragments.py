"""Results that show themselves in a notebook: sentences, a picture, numbers beside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from .figure_files import figure_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAGE = Markup(
    '<div class="metaprobe" style="font: 14px/1.5 system-ui, sans-serif; max-width: 60rem">'
    "<p><strong>{title}</strong></p><ul>{items}</ul>"
    '<img style="max-width: 100%; background: #fff" alt="{alt}" '
    'src="data:image/png;base64,{png}"></div>'
)


def fragment(title: str, sentences: Sequence[str], figure: Figure) -> str:
    """An HTML fragment; every word is escaped, and the picture says in words what it shows."""
    return str(
        _PAGE.format(
            title=title,
            items=Markup("").join(Markup("<li>{}</li>").format(s) for s in sentences),
            alt=f"{title}. {'; '.join(sentences)}",
            png=base64.b64encode(figure_bytes(figure, "png", 100)).decode(),
        )
    )

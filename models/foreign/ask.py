"""What a caller says of an architecture, in one word.

``conv4``, ``resnet12``, …
    The built-in one of this name; settings that no tensor shows follow a colon:
    ``conv4:strided=true,image=84,normalise=imagenet``.
``timm/NAME``, ``torchvision/NAME``
    The library's network of this name; what timm needs to know to make it follows a colon:
    ``timm/vit_tiny_patch16_224:img_size=64,global_pool=avg``.
``transformers:pool=avg``
    A transformers folder, read otherwise than its class says.
``package.module:factory``
    What the user's own function or class makes, when called without arguments.
    This runs the user's code, so it has to be allowed apart. Its head is the linear layer that
    gives its output, else the last one; ``head=NAME`` or ``head=none`` says otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...data.errors import CheckpointError
from ..backbones import BACKBONES

LIBRARIES = ("timm", "torchvision")
COMMON = ("image", "normalise", "pool")
OWN = (*COMMON, "head")
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "conv4": ("strided", "pooled", "slope", "affine", "channels"),
    **{name: ("pooled", "channels", "wide_stem") for name in BACKBONES if name != "conv4"},
}


@dataclass(frozen=True)
class Ask:
    """An architecture as it was asked for.

    Args:
        kind: ``"guess"``, ``"built-in"``, ``"transformers"``, ``"timm"``,
            ``"torchvision"`` or ``"factory"``.
        name: The architecture, or ``package.module:factory``.
        settings: What was said beyond the name.
    """

    kind: str = "guess"
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def image(self) -> tuple[int, int] | None:
        """Height and width of an image, where they were said."""
        value = self.settings.get("image")
        if value is None:
            return None
        sides = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", str(value))
        if sides is None or int(sides[1]) < 1 or int(sides[2] or 1) < 1:
            raise CheckpointError(
                f"image={value!r} is no size; say image=84, or image=84x84", code="arch"
            )
        return int(sides[1]), int(sides[2] or sides[1])


def parse(text: str | None) -> Ask:
    """An `Ask` from its word.

    Raises:
        CheckpointError: If it is none of the four kinds, or has a setting that is unknown.

    >>> parse("conv4:strided=true").settings
    {'strided': True}
    """
    if text is None:
        return Ask()
    own = re.fullmatch(r"(\w+(?:\.\w+)*):([A-Za-z_]\w*)((?:,\w+=[^,]*)*)", text)
    if own and own[1] not in BACKBONES and own[1] not in LIBRARIES:
        return Ask("factory", f"{own[1]}:{own[2]}", _settings(own[3].lstrip(","), OWN, text))
    name, _, said = text.partition(":")
    library, _, member = name.partition("/")
    if library in LIBRARIES and re.fullmatch(r"[\w.\-]+", member):
        allowed = None if library == "timm" else COMMON  # timm refuses what it does not take
        return Ask(library, member, _settings(said, allowed, text))
    if name == "transformers":
        return Ask(name, name, _settings(said, COMMON, text))
    if name in BACKBONES:
        return Ask("built-in", name, _settings(said, (*COMMON, *SETTINGS[name]), text))
    raise CheckpointError(
        f"architecture {text!r} is unknown; say one of {', '.join(sorted(BACKBONES))}, timm/NAME, "
        "torchvision/NAME, or package.module:factory for your own",
        code="unknown-architecture",
    )


def _settings(text: str, allowed: tuple[str, ...] | None, whole: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        known = key.isidentifier() if allowed is None else key in allowed
        if not equals or not known:
            raise CheckpointError(
                f"{part!r} in {whole!r} is no setting; allowed are "
                f"{', '.join(f'{a}=…' for a in allowed or COMMON)}"
                f"{', and what timm takes' if allowed is None else ''}",
                code="arch",
            )
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found

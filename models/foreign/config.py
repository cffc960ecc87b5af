"""A ``config.json`` is data: words that would fetch or run code are taken out or refused.

Sizes in it are bounded before anything is built, for a network of any size can
be asked for in a few bytes.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ...data.errors import CheckpointError

DROPPED = (
    "auto_map", "attn_implementation", "experts_implementation", "custom_pipelines",
    "dtype", "torch_dtype",  # how the file keeps its weights, not how they are computed with
)  # fmt: skip
REFUSED = {
    "backbone": "a network inside the network, which its library may fetch",
    "backbone_config": "a network inside the network, which its library may fetch",
    "use_pretrained_backbone": "weights that its library fetches",
    "use_timm_backbone": "a network inside the network, which its library may fetch",
    "quantization_config": "quantised weights, which are read by code of other libraries",
}
LAYERS, SIZES, WORDS = 1000, 65_536, 1_000_000
NAME = re.compile(r"[\w.\-]+")
DEEPEST = 20


def plain_config(settings: Mapping[str, Any], *, depth: int = 0) -> dict[str, Any]:
    """The words of a config without those that choose code or precision, at any depth.

    Args:
        settings: The words of a ``config.json``, or of a config object.
        depth: How deep within another config they are.

    Raises:
        CheckpointError: If they ask for another network, for quantised weights, or for sizes
            that no encoder has.
    """
    if depth > DEEPEST:
        raise CheckpointError("config.json is nested too deeply to be a config", code="config")
    kept: dict[str, Any] = {}
    for key, value in settings.items():
        name = str(key).lstrip("_")
        if name.removesuffix("_internal") in DROPPED:
            continue
        if value and name in REFUSED:
            raise CheckpointError(
                f"config.json asks by {key!r} for {REFUSED[name]}; save the encoder itself and "
                "open that",
                code="config",
            )
        if name == "architecture" and isinstance(value, str):
            timm_name(value)
        kept[key] = _plain(str(key), value, depth)
    return kept


def _plain(key: str, value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return plain_config(value, depth=depth + 1)
    if isinstance(value, list | tuple):
        if depth > DEEPEST:
            raise CheckpointError("config.json is nested too deeply to be a config", code="config")
        return [_plain(key, v, depth + 1) for v in value]
    if isinstance(value, int) and not isinstance(value, bool):
        most = _most(key)
        if abs(value) > most:
            raise CheckpointError(
                f"config.json says {key!r} is {value}; at most {most} is taken", code="config"
            )
    return value


def _most(key: str) -> int:
    if "token" in key or "vocab" in key or "label" in key:
        return WORDS
    return LAYERS if re.search(r"layers|depth|stages|blocks", key) else SIZES


def timm_name(name: str) -> str:
    """A name of timm's own, which a place to fetch from is not.

    Raises:
        CheckpointError: If it is none.
    """
    if not NAME.fullmatch(name):
        raise CheckpointError(
            f"config.json names the architecture {name!r}; a name of timm's own has letters, "
            "digits, '_', '.' and '-' only, and nothing is fetched",
            code="config",
        )
    return name


@contextmanager
def offline() -> Iterator[None]:
    """No library fetches anything meanwhile, whenever it was imported and whatever was set."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    before = {n: os.environ.get(n) for n in names}
    constants = sys.modules.get("huggingface_hub.constants")
    flag = getattr(constants, "HF_HUB_OFFLINE", None)
    os.environ.update(dict.fromkeys(names, "1"))
    if constants is not None:
        constants.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if constants is not None:
            constants.HF_HUB_OFFLINE = flag  # type: ignore[attr-defined]

"""How a network of timm was made, as its ``config.json`` and the caller say it.

The weights do not show everything: how the last map is pooled, or which
activation stands between the layers, leaves no trace in them. timm writes such
words beside the weights, and what it wrote is followed as far as it is words
about the network; where weights would come from is never followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ...data.errors import CheckpointError
from .ask import COMMON, Ask
from .config import plain_config

SHOWN = ("num_classes", "in_chans")
"""What the weights themselves say."""

NO_EFFECT = ("scriptable", "exportable", "no_jit", "cache_dir", "device", "dtype")
"""What changes nothing that the network computes, or only where it does so."""

REFUSED = {
    "checkpoint_path": "weights that lie elsewhere",
    "features_only": "the maps of several layers, not an embedding",
    "out_indices": "the maps of several layers, not an embedding",
    "feature_cfg": "the maps of several layers, not an embedding",
}


def timm_args(config: Mapping[str, Any], ask: Ask) -> dict[str, Any]:
    """Words for the making of the network beyond its name; the caller's before the config's.

    Args:
        config: timm's ``config.json``; empty where there is none.
        ask: What the caller says; settings that are not of every library are timm's.

    Raises:
        CheckpointError: If the config asks for weights from elsewhere, for something else than
            an embedding, or has values that are not plain words and numbers.
    """
    said = config.get("model_args") or {}
    if not isinstance(said, dict):
        raise CheckpointError(
            f"config.json has a {type(said).__name__} for 'model_args'; names and values are needed",
            code="config",
        )
    args: dict[str, Any] = {}
    for key, value in plain_config(said).items():
        if key in REFUSED and value:
            raise CheckpointError(
                f"config.json asks by {key!r} for {REFUSED[key]}; save the encoder itself and "
                "open that",
                code="config",
            )
        if key in (*SHOWN, *NO_EFFECT, *REFUSED) or key.startswith("pretrained") or value is None:
            continue
        if not key.isidentifier():
            raise CheckpointError(
                f"config.json has {key!r} among 'model_args', which is no name", code="config"
            )
        args[key] = value
    return args | {k: v for k, v in ask.settings.items() if k not in COMMON}


def other_pooling(config: Mapping[str, Any], network: nn.Module, args: Mapping[str, Any]) -> str:
    """How the config says the last map is pooled, where the network that was built does it otherwise.

    Older files of timm say it beside the arguments and not among them.
    """
    said = config.get("global_pool")
    if not isinstance(said, str) or not said or "global_pool" in args:
        return ""
    return said if _pooling(network) not in ("", said) else ""


def timm_words(
    config: Mapping[str, Any], network: nn.Module, args: Mapping[str, Any]
) -> dict[str, Any]:
    """What is said of the images: the config's words, else those of timm for this network."""
    own = config.get("pretrained_cfg")
    if not isinstance(own, dict):  # older files have them at the top
        own = config if "input_size" in config else getattr(network, "pretrained_cfg", None)
    words = dict(own) if isinstance(own, dict) else {}
    size = args.get("img_size")
    if size is not None:
        sides = [size, size] if isinstance(size, int) else list(size)
        words["input_size"] = (3, *sides)
    return words


def classifier(network: nn.Module, name: str) -> str | None:
    """The name timm gives the network's classifier; None where it gives none.

    Raises:
        CheckpointError: If it has several, each of which reads another embedding.
    """
    cfg = getattr(network, "pretrained_cfg", None)
    named = cfg.get("classifier") if isinstance(cfg, dict) else None
    if isinstance(named, list | tuple) and len(named) > 1:
        raise CheckpointError(
            f"timm's {name!r} has {len(named)} classifiers ({', '.join(map(repr, named))}), each of "
            "which reads another embedding; name as package.module:factory a network of yours that "
            "returns the one to look at",
            code="ambiguous-head",
        )
    if isinstance(named, list | tuple):
        named = named[0] if named else None
    return named if isinstance(named, str) else None


def _pooling(network: nn.Module) -> str:
    head = getattr(network, "head", None)
    for pool in (getattr(head, "global_pool", None), getattr(network, "global_pool", None)):
        kind = getattr(pool, "pool_type", pool)
        if isinstance(kind, str):
            return kind
    return ""

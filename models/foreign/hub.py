"""Networks that other libraries build: transformers, timm, torchvision, and the user's own.

A library builds the whole network, head and all, and its layers keep the
library's names. Nothing is downloaded and no weight is taken from a library: all
values come from the file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from ...data.errors import CheckpointError
from .config import offline, plain_config


def construct(architecture: Mapping[str, Any]) -> nn.Module:
    """The whole network with random float32 weights, its head included.

    Args:
        architecture: ``name`` (``transformers``, ``timm``, ``torchvision`` or ``factory``),
            ``model``, ``outputs`` of the head, and what the library needs beside.

    Raises:
        CheckpointError: If the library is missing, or does not build it.
    """
    build = BUILDERS[architecture["name"]]
    try:
        with offline():
            return build(architecture).float()
    except CheckpointError:
        raise
    except Exception as error:  # whatever a library or the user's code raises
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{architecture['name']} cannot build {architecture['model']!r}: {said}",
            code="cannot-build",
        ) from error


def library(name: str) -> Any:
    """An optional library.

    Raises:
        CheckpointError: If it is not installed.
    """
    try:
        with offline():
            return import_module(name)
    except ImportError as error:
        extra = name if name in ("transformers", "timm") else "timm"
        raise CheckpointError(
            f"this needs {name}, which is not installed; pip install 'metaprobe[{extra}]'",
            code="missing-extra",
        ) from error


def version_of(name: str) -> str:
    """The version of a library: another may compute other features from the same weights."""
    return str(library(name).__version__)


def code_of(factory: str) -> str:
    """Hash of the file a factory stands in: other code is another network."""
    place = getattr(_own_module(factory), "__file__", None)
    return sha256(Path(place).read_bytes()).hexdigest() if place else "not in a file"


def _own_module(factory: str) -> ModuleType:
    """The module of the user's own ``module:factory``, looked for in the current folder too."""
    name = factory.partition(":")[0]
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        hint = f"; say {name.removesuffix('.py')}:… without .py" if name.endswith(".py") else ""
        raise CheckpointError(
            f"no module {error.name!r} is installed or lies in {here!r}, the current folder{hint}",
            code="no-module",
        ) from error
    finally:
        sys.path.remove(here)


@contextmanager
def quiet_transformers() -> Iterator[Any]:
    """transformers, without its bars and reports; as it was, afterwards."""
    transformers = library("transformers")
    logging = transformers.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with offline():
            yield transformers
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def transformers_config(settings: Mapping[str, Any]) -> Any:
    """A configuration object from the words of a ``config.json``.

    Raises:
        CheckpointError: If its model is none that the library itself has.
    """
    with quiet_transformers() as transformers:
        words = {k: v for k, v in plain_config(settings).items() if k != "model_type"}
        kind = settings.get("model_type")
        if kind not in transformers.CONFIG_MAPPING:
            raise CheckpointError(
                f"model type {kind!r} is none of this transformers ({transformers.__version__}); "
                "code that comes with a checkpoint is never run",
                code="unknown-architecture",
            )
        try:
            config = transformers.AutoConfig.for_model(kind, **words)
            said = config.to_dict()
        except Exception as error:  # whatever the library makes of the words
            why = " ".join(str(error).split())[:200] or type(error).__name__
            raise CheckpointError(
                f"transformers does not take this config.json: {why}", code="config"
            ) from error
        plain_config(said)  # what a config has by default counts as said
        return config


def _transformers(architecture: Mapping[str, Any]) -> nn.Module:
    config = transformers_config(architecture["config"])
    with quiet_transformers() as transformers:
        auto = transformers.AutoModel
        if architecture["outputs"]:
            config.num_labels = architecture["outputs"]
            auto = transformers.AutoModelForImageClassification
        network: nn.Module = auto.from_config(config, attn_implementation="eager")
    return network


def _timm(architecture: Mapping[str, Any]) -> nn.Module:
    network: nn.Module = library("timm").create_model(
        architecture["model"],
        pretrained=False,
        num_classes=architecture["outputs"] or None,
        in_chans=architecture["channels"],
        **architecture.get("args", {}),
    )
    return network


def _torchvision(architecture: Mapping[str, Any]) -> nn.Module:
    models = library("torchvision.models")
    outputs = {"num_classes": architecture["outputs"]} if architecture["outputs"] else {}
    network: nn.Module = models.get_model(architecture["model"], weights=None, **outputs)
    return network


def _factory(architecture: Mapping[str, Any]) -> nn.Module:
    _, _, member = architecture["model"].partition(":")
    module = _own_module(architecture["model"])
    if not hasattr(module, member):
        raise CheckpointError(
            f"module {module.__name__!r} has no {member!r}; name a class or function that gives "
            "the network",
            code="no-module",
        )
    network = getattr(module, member)()
    if not isinstance(network, nn.Module):
        raise CheckpointError(
            f"{architecture['model']!r} gave a {type(network).__name__}, not a torch.nn.Module",
            code="cannot-build",
        )
    return network


BUILDERS: Mapping[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "transformers": _transformers,
    "timm": _timm,
    "torchvision": _torchvision,
    "factory": _factory,
}
"""Libraries by name; only a caller can ask for one, never a file."""

"""From what was read to a `Found`: which network, whose names, what image it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...data.errors import CheckpointError
from ..reading.raw import RawCheckpoint
from .afford import affordable, outline
from .ask import Ask
from .config import plain_config, timm_name
from .found import Found
from .guess import guess
from .headless import last_linear, own_head
from .hub import code_of, quiet_transformers, transformers_config, version_of
from .images import image_shape, statistics, timm_images
from .structure import COUNTER
from .timm_config import classifier, other_pooling, timm_args, timm_words

NO_CODE = (
    "this runs code of yours, {name!r}; allow it with --trust-code, and only for code that you "
    "would run anyway"
)
UNFIT = (
    "config.json does not fit its weights: {!r} has shape {} in the file and {} in the network "
    "that config.json describes"
)


def identify(
    raw: RawCheckpoint, tensors: Mapping[str, Tensor], ask: Ask, *, trust_code: bool = False
) -> Found:
    """The network a checkpoint belongs to.

    Args:
        raw: What was read.
        tensors: Its network's tensors, without wrappers' prefixes and rates, as float32.
        ask: What the caller says.
        trust_code: Whether the user's own code may be run to build the network.

    Raises:
        CheckpointError: If it cannot be told, built, or does not fit.
    """
    config = _config(raw)
    if ask.kind == "guess" and "model_type" in config:
        ask = Ask("transformers", "transformers", ask.settings)
    if ask.kind == "guess" and isinstance(config.get("architecture"), str):
        ask = Ask("timm", timm_name(config["architecture"]), ask.settings)
    if ask.kind == "factory" and not trust_code:
        raise CheckpointError(NO_CODE.format(name=ask.name), code="code-not-trusted")
    if ask.kind in ("guess", "built-in"):
        ordered = not raw.format.startswith("safetensors")
        return guess(tensors, ask, ordered=ordered, where=raw.path)
    if ask.kind == "transformers":
        return _transformers(raw, tensors, ask)
    return _library(raw, tensors, ask, config)


def _config(raw: RawCheckpoint) -> dict[str, Any]:
    config = raw.metadata.get("config") if isinstance(raw.metadata, dict) else None
    return config if isinstance(config, dict) and raw.format.endswith("folder") else {}


def _transformers(raw: RawCheckpoint, tensors: Mapping[str, Tensor], ask: Ask) -> Found:
    """A transformers folder: its config says the network, a processor's file the images."""
    settings = _config(raw)
    if "model_type" not in settings:
        raise CheckpointError(
            f"{raw.path!r} has no config.json with a model type; give the folder that "
            "save_pretrained wrote",
            code="unknown-architecture",
        )
    config = transformers_config(settings)
    named = (settings.get("architectures") or [""])[0]
    classifies = named.endswith("ForImageClassification") and "pool" not in ask.settings
    architecture: dict[str, Any] = {
        "name": "transformers",
        "model": settings["model_type"],
        "config": plain_config(settings),
        "version": version_of("transformers"),
        "outputs": int(config.num_labels) if classifies else 0,
        "head": "",
        "pool": "head",
    }
    network = affordable(architecture, _held(tensors), said_by="config.json")
    if classifies:
        architecture["head"] = last_linear(network)
    else:
        architecture["pool"] = ask.settings.get("pool") or _pool(network)
    own = _under_its_names(network, config, tensors)
    evidence = [f"config.json says {named or 'no class'} of model type {settings['model_type']!r}"]
    if classifies:
        evidence.append(f"its last linear layer is {architecture['head']!r}")
    assumed: list[str] = []
    if not classifies:
        assumed.append(
            f"without a classifier the embedding is read as {architecture['pool']!r}; "
            "say --arch transformers:pool=cls, avg, pooler or flatten for another"
        )
    processor = raw.metadata.get("preprocessor_config")
    shape = image_shape(config, processor, ask, assumed)
    architecture |= statistics(processor, ask, shape[0], assumed)
    return _split(architecture, own, tensors, shape, evidence, assumed)


def _pool(network: nn.Module) -> str:
    """How a headless network of transformers is read: its class token where it has one."""
    parameters = [name for name, _ in network.named_parameters()]
    if any(name.endswith("cls_token") for name in parameters):
        return "cls"
    return "pooler"


def _under_its_names(
    network: nn.Module, config: Any, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The file's tensors under the names the network has in this version of the library.

    Files keep the names of the version that wrote them; the library knows how to turn them.
    Tensors it has no use for keep the file's.
    """
    wanted = network.state_dict()
    if set(wanted) <= set(tensors):
        for name, tensor in wanted.items():
            if tensor.shape != tensors[name].shape:
                file, built = tuple(tensors[name].shape), tuple(tensor.shape)
                raise CheckpointError(UNFIT.format(name, file, built), code="shape")
        return dict(tensors)
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        turned, info = type(network).from_pretrained(  # type: ignore[attr-defined]
            None,
            config=config,
            state_dict={n: t.clone() for n, t in tensors.items()},
            output_loading_info=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # said below, by name
            attn_implementation="eager",
        )
    for name, file, network_shape in sorted(map(tuple, info["mismatched_keys"])):
        raise CheckpointError(UNFIT.format(name, tuple(file), tuple(network_shape)), code="shape")
    missing = set(info["missing_keys"])
    found = {n: t for n, t in turned.state_dict().items() if n not in missing}
    return found | {n: tensors[n] for n in info["unexpected_keys"] if n in tensors}


def _library(
    raw: RawCheckpoint, tensors: Mapping[str, Tensor], ask: Ask, config: Mapping[str, Any]
) -> Found:
    """timm's, torchvision's or the user's network, told by the caller or a config."""
    outputs = _outputs(tensors)
    architecture: dict[str, Any] = {
        "name": ask.kind,
        "model": ask.name,
        **(
            {"code": code_of(ask.name)}
            if ask.kind == "factory"
            else {"version": version_of(ask.kind)}
        ),
        "outputs": outputs,
        "channels": 3,
        "head": "",
        "pool": ask.settings.get("pool", "flatten"),
    }
    args = timm_args(config, ask) if ask.kind == "timm" else {}
    if args:
        architecture["args"] = args
    if ask.kind == "factory":  # the user's own code takes what it takes
        network = outline(architecture)
    else:
        said_by = "config.json" if config else f"{ask.kind}/{ask.name}"
        network = affordable(architecture, _held(tensors), said_by=said_by)
    pooling = other_pooling(config, network, args)
    if pooling:
        architecture["args"] = args = args | {"global_pool": pooling}
    architecture["channels"] = _channels(network, tensors)
    if ask.kind != "factory" and (pooling or architecture["channels"] != 3):
        network = outline(architecture)
    wanted = network.state_dict()
    if not set(wanted) & set(tensors) and ask.kind == "factory":
        raise CheckpointError(
            f"no tensor of {raw.path!r} is one of {ask.name!r}: the file has "
            f"{next(iter(tensors), 'none')!r}, the network {next(iter(wanted), 'none')!r}",
            code="missing-tensors",
        )
    assumed: list[str] = []
    words = timm_words(config, network, args)
    shape, normalisation = timm_images(words, architecture["channels"], ask, assumed)
    if ask.kind == "factory":
        head = own_head(network, ask, shape)
    else:
        head = classifier(network, ask.name) or last_linear(network)
    if head and f"{head}.weight" in tensors and tensors[f"{head}.weight"].ndim == 2:
        architecture["head"] = head
    elif head and ask.kind != "factory":
        architecture["head"] = head
        architecture["outputs"] = 0
    if ask.kind == "factory":
        architecture["outputs"] = 0  # what the code builds is what it builds
    evidence = [f"the caller says {ask.kind}/{ask.name}" if not config else
                f"config.json says timm's {ask.name!r}"]  # fmt: skip
    if args:
        evidence.append("made with " + ", ".join(f"{k}={v}" for k, v in args.items()))
    if architecture["head"]:
        evidence.append(f"its classifier is {architecture['head']!r}")
    width = getattr(network, "head_hidden_size", None)
    if isinstance(width, int):
        evidence.append(f"timm says that its head takes {width} values")
        architecture["expects"] = width
    return _split({**architecture, **normalisation}, tensors, tensors, shape, evidence, assumed)


def _held(tensors: Mapping[str, Tensor]) -> int:
    return sum(t.numel() for t in tensors.values())


def _outputs(tensors: Mapping[str, Tensor]) -> int:
    """Width of the head in a file: rows of the last two-dimensional weight named as heads are."""
    names = ("classifier", "fc", "head", "heads", "last_linear", "output")
    rows = [
        t.shape[0]
        for n, t in tensors.items()
        if n.endswith("weight") and t.ndim == 2 and set(n.split(".")) & set(names)
    ]
    return int(rows[-1]) if rows else 0


def _channels(network: nn.Module, tensors: Mapping[str, Tensor]) -> int:
    """Channels of an image: what the network's first convolution takes in the file.

    The network says which is the first; a file may have its tensors in any order.
    """
    layers = (n for n, layer in network.named_modules() if isinstance(layer, nn.Conv2d))
    first = tensors.get(f"{next(layers, '')}.weight")
    return int(first.shape[1]) if first is not None and first.ndim == 4 else 3


def _split(
    architecture: Mapping[str, Any],
    own: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    shape: tuple[int, int, int],
    evidence: list[str],
    assumed: list[str],
) -> Found:
    """Body and head of a library's network, under its names."""
    name = architecture["head"]
    start = f"{name}."
    head = {n.removeprefix(start): t for n, t in own.items() if name and n.startswith(start)}
    body = {n: t for n, t in own.items() if not (name and n.startswith(start))}
    if "weight" not in head or head["weight"].ndim != 2:
        head = {}  # a convolution in the place of a linear layer is none that a rule starts from
    elif "bias" not in head:
        head["bias"] = head["weight"].new_zeros(head["weight"].shape[0])
    wanted = set(outline(architecture).state_dict())
    return Found(
        architecture=architecture,
        body={n: t for n, t in body.items() if n in wanted},
        head=head,
        names={n: n for n in own},
        unexpected=tuple(n for n in body if n not in wanted),
        shape=shape,
        evidence=tuple(evidence),
        assumed=tuple(assumed),
        head_name=name,
    )


def with_counters(found: Found, body: nn.Module) -> dict[str, Tensor]:
    """The body's tensors; counters of batches at 0: nothing reads them, old files lack them, and
    averaged networks hold fractions of them."""
    counters = {n: t for n, t in body.state_dict().items() if n.endswith(COUNTER)}
    zeros = {n: torch.zeros(t.shape, dtype=t.dtype) for n, t in counters.items()}
    return {**found.body, **zeros}

"""The head comes off, and that is verified rather than hoped.

Libraries have shipped "headless" networks that still held a classifier, or a
freshly drawn projection. So each stripping is checked by running it: the width
of the embedding, its equality with what the head used to receive, two
constructions from different random weights, and the origin of every tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..data.errors import CheckpointError
from .build import build_body
from .foreign.hub import BUILDERS, HEADS, construct, giver
from .norms import default_norm, with_norm


@dataclass(frozen=True)
class LoadReport:
    """Which tensors of the body came from the file.

    Args:
        matched: Names found in both, with equal shapes.
        missing: Names the architecture has and the file lacks.
        unexpected: Names the file has and the architecture lacks.
        parameters: Values in the matched tensors.
        bytes: Bytes in the matched tensors.
        coverage: Share of the architecture's values that came from the file.
        names: What the file calls the matched tensors, where that is not their name here.
        unexpected_bytes: Bytes in the unexpected tensors.
        missing_parameters: Values in the missing tensors: they are random.
        evidence: What speaks for the architecture.
        assumed: What no tensor shows, and what was taken instead.
        cast: How many tensors were stored in another floating type, and are float32 here.
        prefix: What wrappers had put before every name, and was taken off.
        flags: What was noticed while reading the file.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    parameters: int
    bytes: int
    coverage: float
    names: Mapping[str, str] = field(default_factory=dict)
    unexpected_bytes: int = 0
    missing_parameters: int = 0
    evidence: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    cast: int = 0
    prefix: str = ""
    flags: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is empty beyond the first six is left out."""
        said = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {k: v for k, v in said.items() if v or k in _ALWAYS}


_ALWAYS = ("matched", "missing", "unexpected", "parameters", "bytes", "coverage")


@dataclass(frozen=True)
class StripReport:
    """What was removed, and the checks that it is gone.

    Args:
        head: What was removed, in words.
        outputs: Width of the head: its number of classes.
        expected_dim: Width the head's weights take in.
        embedding_dim: Width `D` that the stripped network gives out.
        equals_head_input: The embedding is, bit for bit, what the head receives.
        constructions_agree: Two constructions from different random weights agree bit for bit.
        all_from_file: Every tensor of the body came from the file.
    """

    head: str
    outputs: int
    expected_dim: int
    embedding_dim: int
    equals_head_input: bool
    constructions_agree: bool
    all_from_file: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def load_body(
    architecture: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    seed: int = 0,
    allow_partial: bool = False,
) -> tuple[nn.Module, LoadReport]:
    """A body with the file's tensors.

    Args:
        architecture: As for `build_body`.
        tensors: The file's tensors, named as the body's.
        seed: Seed of whatever the file does not set.
        allow_partial: Whether some may stay random.

    Raises:
        CheckpointError: If a shape or type differs, or a tensor of the body is missing.
    """
    body = build_body(architecture, seed=seed)
    wanted = body.state_dict()
    matched = {n: tensors[n] for n in wanted if n in tensors}
    for name, found in matched.items():
        if found.shape != wanted[name].shape:
            raise CheckpointError(
                f"tensor {name!r} has shape {tuple(found.shape)} in the file and "
                f"{tuple(wanted[name].shape)} in {architecture['name']!r}; this is another "
                "architecture",
                code="shape",
            )
        if found.dtype != wanted[name].dtype:
            raise CheckpointError(
                f"tensor {name!r} is {found.dtype} in the file; {wanted[name].dtype} is needed",
                code="dtype",
            )
    missing = [n for n in wanted if n not in tensors]
    parameters = sum(t.numel() for t in matched.values())
    absent = sum(wanted[n].numel() for n in missing)
    report = LoadReport(
        matched=tuple(matched),
        missing=tuple(missing),
        unexpected=tuple(n for n in tensors if n not in wanted),
        parameters=parameters,
        bytes=sum(t.nbytes for t in matched.values()),
        coverage=parameters / (parameters + absent) if parameters + absent else 0.0,
        unexpected_bytes=sum(t.nbytes for n, t in tensors.items() if n not in wanted),
        missing_parameters=absent,
    )
    if missing and not allow_partial:
        raise CheckpointError(
            f"{len(missing)} tensors of the body are not in the file, first {missing[0]!r}; they "
            f"would be random ({100 * report.coverage:.4g} % of its values are there)",
            code="missing-tensors",
        )
    if not matched:
        raise CheckpointError(
            f"no tensor of the file is one of {architecture['name']!r}; nothing would be loaded",
            code="missing-tensors",
        )
    body.load_state_dict({n: matched.get(n, t) for n, t in body.state_dict().items()})
    return body.eval(), report


def strip(
    architecture: Mapping[str, Any],
    body: Mapping[str, Tensor],
    head: Mapping[str, Tensor],
    shape: tuple[int, int, int],
    *,
    allow_partial: bool = False,
) -> tuple[nn.Module, LoadReport, StripReport]:
    """Take the head off and verify it.

    Args:
        architecture: As for `build_body`.
        body: The file's tensors of the body.
        head: ``weight`` ``(outputs, D)`` and ``bias``; empty where the file has none.
        shape: `(C, H, W)` of an image.
        allow_partial: Whether some tensors may stay random.

    Returns:
        The body, and what was found while loading and stripping it.

    Raises:
        CheckpointError: If a check fails.
    """
    first, load = load_body(architecture, body, seed=1, allow_partial=allow_partial)
    second, _ = load_body(architecture, body, seed=2, allow_partial=allow_partial)
    with torch.no_grad():  # what is known to be random is the same in both; nothing else may be
        for name in load.missing:
            second.state_dict()[name].copy_(first.state_dict()[name])
    sample = torch.rand((4, *shape), generator=torch.Generator().manual_seed(0))
    norm = default_norm(first) if foreign(architecture) else "batch"
    plain = with_norm(first, norm)
    try:
        with torch.no_grad():
            out, again = plain(sample), with_norm(second, norm)(sample)
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"the encoder does not take images of shape {shape}: {said}", code="image-shape"
        ) from error
    if not isinstance(out, Tensor) or out.ndim != 2:
        gives = tuple(out.shape) if isinstance(out, Tensor) else f"a {type(out).__name__}"
        raise CheckpointError(
            f"the stripped network gives {gives}; (N, D) is needed", code="not-an-embedding"
        )
    width = int(out.shape[1])
    outputs, expected = (int(n) for n in head["weight"].shape) if head else (0, width)
    if not head:  # a library may say what its head would take
        expected = int(architecture.get("expects") or width)
    report = StripReport(
        head=f"linear, {expected} to {outputs}" if head else "none in the file",
        outputs=outputs,
        expected_dim=expected,
        embedding_dim=width,
        equals_head_input=expected == width
        and torch.equal(_head_input(architecture, plain, body, head, sample), out),
        constructions_agree=torch.equal(out, again),
        all_from_file=not load.missing,
    )
    _refuse(report, "" if head else _left_in(first, sample))
    return first, load, report


def foreign(architecture: Mapping[str, Any]) -> bool:
    """Whether another library builds the network."""
    return architecture.get("name") in BUILDERS


def unused(body: nn.Module, shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Parameters that the embedding does not depend on, such as those of another task.

    Args:
        body: The network without its head.
        shape: `(C, H, W)` of an image.
    """
    sample = torch.rand((2, *shape), generator=torch.Generator().manual_seed(0))
    named = {n: p for n, p in body.named_parameters() if p.requires_grad}
    if not named:
        return ()
    with torch.enable_grad():
        found = torch.autograd.grad(body(sample).sum(), list(named.values()), allow_unused=True)
    return tuple(n for n, g in zip(named, found, strict=True) if g is None)


def _left_in(body: nn.Module, sample: Tensor) -> str:
    """The linear layer named as classifiers are that gives the embedding; empty for none."""
    name = giver(body, sample)
    return name if set(name.split(".")) & set(HEADS) else ""


def _head_input(
    architecture: Mapping[str, Any],
    plain: nn.Module,
    body: Mapping[str, Tensor],
    head: Mapping[str, Tensor],
    sample: Tensor,
) -> Tensor:
    """What the file's head, put on the body again, receives: caught by a hook.

    Where a library builds the network, it is its own whole network that is asked, built anew.
    """
    caught: list[Tensor] = []

    def catch(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        caught.append(args[0])

    if foreign(architecture) and architecture.get("head"):
        whole = construct(architecture).eval()
        name = architecture["head"]
        known = {**body, **{f"{name}.{leaf}": t for leaf, t in head.items()}}
        whole.load_state_dict({n: known.get(n, t) for n, t in whole.state_dict().items()})
        for hook in plain._forward_pre_hooks.values():
            whole.register_forward_pre_hook(hook)
        whole.get_submodule(name).register_forward_pre_hook(catch)
        whole = with_norm(whole, default_norm(whole))
    else:
        classifier: nn.Module = nn.Identity()
        if head:
            outputs, width = head["weight"].shape
            classifier = nn.Linear(width, outputs, device="meta")
            classifier.load_state_dict(dict(head), assign=True)
        classifier.register_forward_pre_hook(catch)
        whole = nn.Sequential(plain, classifier)
    with torch.no_grad():
        whole(sample)
    return caught[0]


def _refuse(report: StripReport, left_in: str) -> None:
    reasons = {
        f"the embedding is the output of {left_in!r}, which is named as a classifier is": bool(
            left_in
        ),
        f"the embedding has {report.embedding_dim} features and the head takes "
        f"{report.expected_dim}": report.embedding_dim != report.expected_dim,
        f"the embedding has as many features as there are classes ({report.outputs}), so a "
        "classifier may still be in it": report.embedding_dim == report.outputs,
        "the embedding is not what the head receives": not report.equals_head_input,
        "two constructions disagree, so something in the body is random": not (
            report.constructions_agree
        ),
    }
    for reason, failed in reasons.items():
        if failed:
            raise CheckpointError(f"stripping the head failed: {reason}", code="strip")

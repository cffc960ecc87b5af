"""The head comes off, and that is verified rather than hoped.

Libraries have shipped "headless" networks that still held a classifier, or a
freshly drawn projection. So each stripping is checked by running it: the width
of the embedding, its equality with what the head used to receive, two
constructions from different random weights, and the origin of every tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..data.errors import CheckpointError
from .backbones import build_backbone
from .norms import with_norm


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
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    parameters: int
    bytes: int
    coverage: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


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
    architecture: Mapping[str, Any], tensors: Mapping[str, Tensor], *, seed: int = 0
) -> tuple[nn.Module, LoadReport]:
    """A body with the file's tensors.

    Args:
        architecture: As for `build_backbone`.
        tensors: The file's tensors, named as the body's.
        seed: Seed of whatever the file does not set.

    Raises:
        CheckpointError: If a shape or type differs, or a tensor of the body is missing.
    """
    body = build_backbone(architecture, seed=seed)
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
    parameters = sum(t.numel() for t in matched.values())
    report = LoadReport(
        matched=tuple(matched),
        missing=tuple(n for n in wanted if n not in tensors),
        unexpected=tuple(n for n in tensors if n not in wanted),
        parameters=parameters,
        bytes=sum(t.nbytes for t in matched.values()),
        coverage=parameters / sum(t.numel() for t in wanted.values()),
    )
    if report.missing:
        raise CheckpointError(
            f"{len(report.missing)} tensors of the body are not in the file, first "
            f"{report.missing[0]!r}; they would be random",
            code="missing-tensors",
        )
    body.load_state_dict(matched)
    return body.eval(), report


def strip(
    architecture: Mapping[str, Any],
    body: Mapping[str, Tensor],
    head: Mapping[str, Tensor],
    shape: tuple[int, int, int],
) -> tuple[nn.Module, LoadReport, StripReport]:
    """Take the head off and verify it.

    Args:
        architecture: As for `build_backbone`.
        body: The file's tensors of the body.
        head: ``weight`` ``(outputs, D)`` and ``bias``; empty where the file has none.
        shape: `(C, H, W)` of an image.

    Returns:
        The body, and what was found while loading and stripping it.

    Raises:
        CheckpointError: If a check fails.
    """
    first, load = load_body(architecture, body, seed=1)
    second, _ = load_body(architecture, body, seed=2)
    sample = torch.rand((4, *shape), generator=torch.Generator().manual_seed(0))
    plain = with_norm(first, "batch")
    try:
        with torch.no_grad():
            out, again = plain(sample), with_norm(second, "batch")(sample)
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"the encoder does not take images of shape {shape}: {error}", code="image-shape"
        ) from error
    if out.ndim != 2:
        raise CheckpointError(
            f"the stripped network gives {tuple(out.shape)}; (N, D) is needed",
            code="not-an-embedding",
        )
    width = int(out.shape[1])
    outputs, expected = (int(n) for n in head["weight"].shape) if head else (0, width)
    report = StripReport(
        head=f"linear, {expected} to {outputs}" if head else "none in the file",
        outputs=outputs,
        expected_dim=expected,
        embedding_dim=width,
        equals_head_input=expected == width and torch.equal(_head_input(plain, head, sample), out),
        constructions_agree=torch.equal(out, again),
        all_from_file=not load.missing,
    )
    _refuse(report)
    return first, load, report


def _head_input(body: nn.Module, head: Mapping[str, Tensor], sample: Tensor) -> Tensor:
    """What the file's head, put on the body again, receives: caught by a hook."""
    classifier: nn.Module = nn.Identity()
    if head:
        outputs, width = head["weight"].shape
        classifier = nn.Linear(width, outputs, device="meta")
        classifier.load_state_dict(dict(head), assign=True)
    caught: list[Tensor] = []
    classifier.register_forward_pre_hook(lambda module, args: caught.append(args[0]))
    with torch.no_grad():
        nn.Sequential(body, classifier)(sample)
    return caught[0]


def _refuse(report: StripReport) -> None:
    reasons = {
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

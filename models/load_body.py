"""A file's tensors go into a body, and a report says which came from the file and which did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..data.errors import CheckpointError
from .build import build_body


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
        missing_bytes: Bytes in the missing tensors.
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
    missing_bytes: int = 0
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


NAMED = 8
"""How many missing tensors an error names before it counts the rest."""


def _listed(names: list[str]) -> str:
    """``2 tensors ('a', 'b')``; after a few names, how many more."""
    more = f" and {len(names) - NAMED} more" if names[NAMED:] else ""
    return (
        f"{len(names)} tensor{'s' if names[1:] else ''} "
        f"({', '.join(map(repr, names[:NAMED]))}{more})"
    )


def _share(coverage: float) -> str:
    """A coverage below 1 is never rounded to 100 %."""
    return f"{min(100 * coverage, 99.9999):.6g} %"


def _shared(body: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What files that keep a shared tensor once, as safetensors' do, have under another name.

    Raises:
        CheckpointError: If a file has it twice, with two contents.
    """
    first: dict[int, str] = {}
    found: dict[str, Tensor] = {}
    names: dict[str, list[str]] = {}
    for name, parameter in body.named_parameters(remove_duplicate=False):
        names.setdefault(first.setdefault(id(parameter), name), []).append(name)
    for alike in names.values():
        there = [name for name in alike if name in tensors]
        for name in there[1:]:
            if not torch.equal(tensors[name], tensors[there[0]]):
                raise CheckpointError(
                    f"tensors {there[0]!r} and {name!r} are one in the network and differ in the "
                    "file; this is another architecture",
                    code="shared",
                )
        found |= {name: tensors[there[0]] for name in alike if there and name not in tensors}
    return found


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
        CheckpointError: If a shape or type differs, a tensor of the body is missing, or one that
            the body shares between two names differs between them.
    """
    body = build_body(architecture, seed=seed)
    tensors = {**tensors, **_shared(body, tensors)}
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
        missing_bytes=sum(wanted[n].nbytes for n in missing),
    )
    if missing and not allow_partial:
        raise CheckpointError(
            f"{_listed(missing)} of the body {'is' if len(missing) == 1 else 'are'} not in the file "
            f"and would be random ({_share(report.coverage)} of its values are there); give a file "
            "that has all of it, or say --allow-partial to go on with random values, marked as such",
            code="missing-tensors",
        )
    if not matched:
        raise CheckpointError(
            f"no tensor of the file is one of {architecture['name']!r}; nothing would be loaded",
            code="missing-tensors",
        )
    body.load_state_dict({n: matched.get(n, t) for n, t in body.state_dict().items()})
    return body.eval(), report

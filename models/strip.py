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
from .foreign.headless import HEADS, giver
from .foreign.hub import BUILDERS, construct
from .load_body import LoadReport, load_body
from .norms import default_norm, with_norm


@dataclass(frozen=True)
class StripReport:
    """What was removed, and the checks that it is gone.

    Args:
        head: What was removed, in words.
        outputs: Width of the head: its number of classes.
        expected_dim: Width the head's weights take in.
        embedding_dim: Width `D` that the stripped network gives out.
        equals_head_input: The embedding is, bit for bit, what the head receives. Of a library's
            network it is asked whole, as the library builds it; where a head follows the body by
            construction, as in ours, this shows no more than that the body repeats itself.
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
            del second  # a network may be large, and a third comes below
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"the encoder does not take images of shape {shape}: {said}; if theirs is another "
            "size, say it as image=N with --arch",
            code="image-shape",
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
    drawn = first.state_dict()  # what the file lacks is random, but the same in both networks
    filled = {**{n: drawn[n] for n in load.missing}, **body}
    report = StripReport(
        head=f"linear, {expected} to {outputs}" if head else "none in the file",
        outputs=outputs,
        expected_dim=expected,
        embedding_dim=width,
        equals_head_input=expected == width
        and torch.equal(_head_input(architecture, plain, filled, head, sample), out),
        constructions_agree=torch.equal(out, again),
        all_from_file=not load.missing,
    )
    last = giver(first, sample)
    own = architecture.get("name") == "factory"
    _refuse(report, "" if head else _named_as_head(last), last, own=own)
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


def _named_as_head(name: str) -> str:
    """A layer's name where it is one that classifiers have; else nothing."""
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
    return caught[0].flatten(1)


def _refuse(report: StripReport, left_in: str, last: str, *, own: bool = False) -> None:
    """Stop at the first check that failed.

    Args:
        report: The checks.
        left_in: A layer named as classifiers are that gives the embedding.
        last: Any linear layer that gives it: 64 features may have a head of 64 classes, but
            not where they come out of a linear layer.
        own: Whether the caller builds the network, and can say which layer its head is.
    """
    reasons = {
        f"the embedding is the output of {left_in!r}, which is named as a classifier is": bool(
            left_in
        ),
        f"the embedding has {report.embedding_dim} features and the head takes "
        f"{report.expected_dim}": report.embedding_dim != report.expected_dim,
        f"the embedding has as many features as there are classes ({report.outputs}), so a "
        "classifier may still be in it": bool(last) and report.embedding_dim == report.outputs,
        "the embedding is not what the head receives": not report.equals_head_input,
        "two constructions disagree, so something in the body is random": not (
            report.constructions_agree
        ),
    }
    for reason, failed in reasons.items():
        if failed:
            hint = "; say head=NAME or head=none in --arch" if own else ""
            raise CheckpointError(f"stripping the head failed: {reason}{hint}", code="strip")

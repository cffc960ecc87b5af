"""The geometry of one episode's inner loop, for any encoder that is a ``nn.Module``.

The seam between the theory and a checkpoint: an encoder (images in, embeddings out), a
support set, a rate and a number of steps go in; the curvature of the head, of the last
layer and of the whole network come out, with what they mean for that rate. Nothing is
trained and the encoder is left as it was found, buffers included. How it normalises
(``encoder.train()`` or ``.eval()``) is the caller's choice and changes the answer.

Derived here; the paper proves when adaptation is well-behaved but does not measure it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from ....data.errors import ProbeError
from .adaptation import decrease_reached, descend
from .geometry import Advice, HeadGeometry, advise, head_geometry, steps_to
from .recursion import Loss
from .spectrum import Curvature, curvature

HEAD = "head"


@dataclass(frozen=True)
class EncoderGeometry:
    """What one support set says about an inner loop.

    Args:
        head: Curvature bounds of the head's loss.
        alpha: The inner rate that was asked about.
        steps: ``N`` that was asked about.
        steps_needed: Steps at ``1/L`` until the head is within 10 % of its optimum;
            infinite without a penalty.
        reached: Share of the head's possible loss decrease that ``(alpha, steps)`` makes.
        groups: For each group of parameters, its curvature and the advice.
    """

    head: HeadGeometry
    alpha: float
    steps: int
    steps_needed: float
    reached: float
    groups: Mapping[str, tuple[Curvature, Advice]]

    def table(self) -> pd.DataFrame:
        """One row for each group."""
        return pd.DataFrame(
            [
                {
                    "adapted": name,
                    "parameters": shape.parameters,
                    "largest curvature": shape.largest,
                    "smallest curvature": shape.smallest,
                    "geometry": advice.geometry,
                    "rate is stable": advice.stable,
                    "worst amplification": advice.growth,
                    "largest advisable rate": advice.rate,
                }
                for name, (shape, advice) in self.groups.items()
            ]
        )


def encoder_geometry(
    encoder: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    alpha: float,
    steps: int,
    l2: float = 0.0,
    head: Tensor | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    settle: int | None = None,
    iterations: int = 40,
    seed: int = 0,
) -> EncoderGeometry:
    """Measures the inner loop of softmax cross-entropy on one support set.

    Curvatures are taken where a head-only inner loop ends: at a start of zeros the body
    would have none.

    Args:
        encoder: Images ``(n, …)`` to embeddings ``(n, d)``.
        images: Support images.
        labels: Their classes ``(n,)``; any integers.
        alpha: Inner rate in use, positive.
        steps: ``N`` in use.
        l2: Penalty on the head, ``λ/2 ‖W‖²``.
        head: ``(ways, d)``; zeros where the checkpoint has none.
        groups: Names of parameters to adapt together; ``"head"`` names the head. The
            default asks about the head, the last layer with it, the body, and all.
        settle: Head-only steps before curvatures are taken; 0 takes them at ``head``, None
            after ``steps``.
        iterations: Hessian-vector products per group.
        seed: Of the Lanczos starts.

    Raises:
        ProbeError: A group names a parameter that does not exist, the head does not fit,
            or the features are not a finite matrix.
    """
    with torch.no_grad():
        frozen = _embed(encoder, dict(encoder.named_parameters()), images)
    shape = head_geometry(frozen, loss="cross-entropy", l2=l2)
    classes, targets = torch.unique(labels, return_inverse=True)
    start = torch.zeros(len(classes), frozen.shape[-1]).to(frozen) if head is None else head
    if start.shape != (len(classes), frozen.shape[-1]):
        raise ProbeError(
            f"a head of shape {tuple(start.shape)} for {len(classes)} classes and embeddings of "
            f"{frozen.shape[-1]} dimensions; give ({len(classes)}, {frozen.shape[-1]})",
            code="head-shape",
        )

    def head_loss(w: Tensor) -> Tensor:
        return cross_entropy(frozen @ w.T, targets) + l2 / 2 * (w**2).sum()

    leaves = {k: v.detach().clone().requires_grad_() for k, v in encoder.named_parameters()}
    settled = steps if settle is None else settle
    weight = descend(head_loss, start, alpha=alpha, steps=settled).requires_grad_()
    known = {**leaves, HEAD: weight}

    def support_loss() -> Tensor:
        logits = _embed(encoder, leaves, images) @ weight.T
        return cross_entropy(logits, targets) + l2 / 2 * (weight**2).sum()

    measured: dict[str, tuple[Curvature, Advice]] = {}
    for name, members in (groups or default_groups(encoder)).items():
        if unknown := set(members) - set(known):
            raise ProbeError(
                f"group {name!r} names {sorted(unknown)}, which this encoder does not have; "
                f"its parameters are {sorted(known)}",
                code="unknown-parameter",
            )
        loss = (lambda: head_loss(weight)) if list(members) == [HEAD] else support_loss
        bent = curvature(loss, [known[m] for m in members], iterations=iterations, seed=seed)
        measured[name] = (bent, advise(bent, alpha=alpha, steps=steps))
    return EncoderGeometry(
        head=shape,
        alpha=alpha,
        steps=steps,
        steps_needed=steps_to(0.1, alpha=shape.safe_rate, mu=shape.mu),
        reached=decrease_reached(head_loss, start, alpha=alpha, steps=steps),
        groups=measured,
    )


def default_groups(encoder: nn.Module) -> dict[str, list[str]]:
    """Head; last layer and head; body; all, as names of parameters.

    The last layer is the last weight matrix or kernel, in order of definition, with its
    bias and any normalisation after it.
    """
    names = [name for name, _ in encoder.named_parameters()]
    groups = {"head only": [HEAD]}
    if names:
        kernels = [i for i, p in enumerate(encoder.parameters()) if p.ndim > 1]
        groups["last layer and head"] = [*names[kernels[-1] if kernels else 0 :], HEAD]
        groups["body only"] = names
        groups["everything"] = [*names, HEAD]
    return groups


def episode_losses(
    encoder: nn.Module,
    support: tuple[Tensor, Tensor],
    query: tuple[Tensor, Tensor],
    *,
    l2: float = 0.0,
) -> tuple[Loss, Loss, Tensor]:
    """An episode as ``(inner_loss, outer_loss, body)`` for `anil_meta_gradient`.

    Args:
        encoder: Images to embeddings.
        support: Images and labels ``0 … W − 1``.
        query: Images and labels.
        l2: Penalty on the head in the inner loss.

    Returns:
        Two losses of a head ``(ways, d)`` and a *flat* body, and that body.
    """
    shapes = {name: p.shape for name, p in encoder.named_parameters()}
    flat = torch.cat([p.detach().reshape(-1) for p in encoder.parameters()])

    def unflatten(body: Tensor) -> dict[str, Tensor]:
        parts = torch.split(body, [s.numel() for s in shapes.values()])
        return {name: part.view(s) for (name, s), part in zip(shapes.items(), parts, strict=True)}

    def loss_on(images: Tensor, labels: Tensor, penalty: float) -> Loss:
        def loss(head: Tensor, body: Tensor) -> Tensor:
            logits = _embed(encoder, unflatten(body), images) @ head.T
            return cross_entropy(logits, labels) + penalty / 2 * (head**2).sum()

        return loss

    return loss_on(*support, l2), loss_on(*query, 0.0), flat


def _embed(encoder: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
    buffers = {name: b.detach().clone() for name, b in encoder.named_buffers()}
    out = functional_call(encoder, {**parameters, **buffers}, (images,))
    if not isinstance(out, Tensor):
        raise ProbeError(
            f"the encoder returned {type(out).__name__}; it must return one tensor (n, d)",
            code="encoder-output",
        )
    return out

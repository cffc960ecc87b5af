r"""Bootstrapped meta-gradients as a learner of inner rates, beside Meta-SGD.

An inner loop of K gradient steps with learned rates r leads from an initialisation to a
student x(r). Meta-SGD (Li et al. 2017) moves r down the query loss of the student. The
bootstrapped learner (Flennerhag et al. 2021, 2109.04504) lets the student run on for L
more steps on the query loss, stops the gradient there, and moves r so that the student
lands nearer to that target z:

.. math::
    r \leftarrow r - \beta\, \nabla_r\, \mu\big(z,\, x(r)\big), \qquad
    z = \mathrm{stop}\big(x' - \xi \nabla q(x')\big), \quad
    x' = x(r) \text{ after } L-1 \text{ further steps with } r \text{ held}.

With L = 1 and half the squared distance this is xi times Meta-SGD's gradient, to the
last digit: the test of this learner. Gradients are divided by xi L, so the size of the
outer step does not depend on the target. Derived here: that division, and the default
that only the rates are bootstrapped while the initialisation follows the plain query loss.

Everything is a function of parameters and losses. A meta-batch needs no loop: give
``tasks=B`` and every parameter gains a leading axis B, with losses that return the *sum*
over tasks; the gradients that come back are means over tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ....data.errors import MetaprobeError

Params = Mapping[str, Tensor]
Loss = Callable[[Params], Tensor]
Matching = Literal["parameters", "outputs", "kl"]


class LearnerError(MetaprobeError):
    """A learner whose settings contradict each other."""


@dataclass(frozen=True)
class Bootstrap:
    """How the target is made and matched.

    Args:
        target_steps: L >= 1, the last of which is a plain gradient step.
        target_rate: xi > 0, the rate of that last step.
        matching: ``parameters`` half the squared distance of parameters; ``outputs`` of
            outputs; ``kl`` the divergence from the target's softmax to the student's.
        moves_init: Let the target move the initialisation too. Off by default: in the
            sinusoid experiment it spoilt the unadapted network.
    """

    target_steps: int = 1
    target_rate: float = 0.01
    matching: Matching = "parameters"
    moves_init: bool = False

    def __post_init__(self) -> None:
        if self.target_steps < 1 or not self.target_rate > 0:
            raise LearnerError(
                f"target_steps={self.target_steps}, target_rate={self.target_rate} came; "
                "a target is at least one step away, at a rate above 0",
                code="target",
            )


@dataclass(frozen=True)
class MetaGradients:
    """Gradients of one outer step, means over tasks.

    Args:
        init: By parameter name, the shape of the initialisation.
        rates: By parameter name, the shape of the rate's own parameter.
        query_loss: Query loss of the student, the mean over tasks.
    """

    init: dict[str, Tensor]
    rates: dict[str, Tensor]
    query_loss: float


def identity(rate: Tensor) -> Tensor:
    """A rate that is learned as it is, so it may turn negative."""
    return rate


def adapt(
    start: Params, rates: Params, loss: Loss, steps: int, *, differentiable: bool
) -> dict[str, Tensor]:
    """``steps`` gradient steps on ``loss``, p - rate * gradient, the rates by parameter name.

    Args:
        start: Parameters, each of any shape.
        rates: One rate per parameter, broadcast against it (a number, or element-wise).
        loss: Parameters to one number.
        steps: K >= 0.
        differentiable: Keep the graph, so the result can be differentiated in start and rates.
    """
    now = dict(start)
    for _ in range(steps):
        slopes = _slopes(loss, now, differentiable=differentiable)
        now = {name: now[name] - rates[name] * slopes[name] for name in now}
    return now


def bootstrap_target(
    student: Params, rates: Params, loss: Loss, settings: Bootstrap
) -> dict[str, Tensor]:
    """Where the student would be L steps on; carries no gradient."""
    held = {name: rate.detach() for name, rate in rates.items()}
    with torch.enable_grad():
        ahead = {name: value.detach().requires_grad_() for name, value in student.items()}
        ahead = adapt(ahead, held, loss, settings.target_steps - 1, differentiable=False)
        ahead = {name: value.detach().requires_grad_() for name, value in ahead.items()}
        slopes = _slopes(loss, ahead, differentiable=False)
    return {n: (ahead[n] - settings.target_rate * slopes[n]).detach() for n in ahead}


def meta_gradients(
    init: Params,
    rates: Params,
    support_loss: Loss,
    query_loss: Loss,
    *,
    steps: int,
    bootstrap: Bootstrap | None = None,
    outputs: Callable[[Params], Tensor] | None = None,
    rate_of: Callable[[Tensor], Tensor] = identity,
    tasks: int | None = None,
) -> MetaGradients:
    """One outer step's gradients: Meta-SGD's, or bootstrapped ones.

    Args:
        init: The initialisation, by parameter name.
        rates: What the rates are learned through, by parameter name, broadcast against it.
        support_loss: What the inner loop descends; parameters to one number.
        query_loss: What the student is judged by, and what the target descends.
        steps: K, inner steps.
        bootstrap: None is Meta-SGD.
        outputs: Parameters to query outputs, classes last; for matching outputs.
        rate_of: From learned number to rate: itself (rates may turn negative), or ``torch.exp``.
        tasks: B: parameters gain a leading axis B, losses are sums over it.

    Raises:
        LearnerError: Names differ between init and rates, or outputs are missing for a match.
    """
    if set(init) != set(rates):
        raise LearnerError(
            f"rates for {sorted(rates)} came with parameters {sorted(init)}; give one rate each",
            code="rates",
        )
    if bootstrap is not None and bootstrap.matching != "parameters" and outputs is None:
        raise LearnerError(
            f"matching {bootstrap.matching!r} compares outputs; give outputs=", code="outputs"
        )
    leaves = {name: value.detach().requires_grad_() for name, value in init.items()}
    knobs = {name: value.detach().requires_grad_() for name, value in rates.items()}
    count = 1 if tasks is None else tasks
    start = leaves if tasks is None else {n: v.expand(count, *v.shape) for n, v in leaves.items()}
    used = {name: rate_of(value) for name, value in knobs.items()}
    student = adapt(start, used, support_loss, steps, differentiable=True)
    query = query_loss(student) / count
    if bootstrap is None:
        init_slopes, rate_slopes = _both(query, leaves, knobs)
    else:
        target = bootstrap_target(student, used, query_loss, bootstrap)
        gap = _mismatch(student, target, bootstrap.matching, outputs)
        gap = gap / (count * bootstrap.target_rate * bootstrap.target_steps)
        init_slopes = _grad(query, leaves, keep=True)
        if bootstrap.moves_init:
            init_slopes, rate_slopes = _both(gap, leaves, knobs)
        else:
            rate_slopes = _grad(gap, knobs)
    return MetaGradients(init_slopes, rate_slopes, float(query.detach()))


def _mismatch(
    student: Params,
    target: Params,
    matching: Matching,
    outputs: Callable[[Params], Tensor] | None,
) -> Tensor:
    if matching == "parameters" or outputs is None:
        return torch.stack([((student[n] - target[n]) ** 2).sum() / 2 for n in student]).sum()
    seen, wanted = outputs(student), outputs(target).detach()
    if matching == "outputs":
        return ((seen - wanted) ** 2).sum() / 2
    share, log_seen = wanted.softmax(-1), seen.log_softmax(-1)
    return (share * (wanted.log_softmax(-1) - log_seen)).sum()


def _slopes(loss: Loss, params: Params, *, differentiable: bool) -> dict[str, Tensor]:
    values = {n: v if v.requires_grad else v.detach().requires_grad_() for n, v in params.items()}
    slopes = torch.autograd.grad(
        loss(values), list(values.values()), create_graph=differentiable, materialize_grads=True
    )
    return dict(zip(values, slopes, strict=True))


def _grad(value: Tensor, leaves: Params, *, keep: bool = False) -> dict[str, Tensor]:
    slopes = torch.autograd.grad(
        value, list(leaves.values()), retain_graph=keep, materialize_grads=True
    )
    return dict(zip(leaves, slopes, strict=True))


def _both(
    value: Tensor, init: Params, rates: Params
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    slopes = torch.autograd.grad(value, [*init.values(), *rates.values()], materialize_grads=True)
    names = list(init)
    return dict(zip(names, slopes, strict=False)), dict(
        zip(rates, slopes[len(names) :], strict=True)
    )

"""Bootstrapped meta-gradients and what they equal, to the last digits.

The paper's (abstract): optimism in meta-learning is captured by bootstrapped meta-gradients.
Derived (B6): one step of target and a squared distance give exactly the plain meta-gradient;
a target one hint ahead gives exactly the optimistic iterates; to first order in the meta step the
loss falls by beta |meta-gradient|^2; and matching by KL pulls on the student's logits with
softmax(student) - softmax(target).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .bmg_learner import Bootstrap, Params, adapt, meta_gradients
from .few_shot import fresh_networks, sinusoids, squared_error
from .identities import relative_gap
from .optimise import linear_rule, optimise
from .problems import log_uniform_quadratic, soft_label_logistic


def _largest_gap(left: Params, right: Params) -> float:
    """The largest difference between two sets of tensors as a share of the largest entry."""
    scale = max(float(value.abs().max()) for value in right.values())
    return max(float((left[n] - right[n]).abs().max()) for n in right) / scale


def target_of_one_step(seed: int, inner_steps: tuple[int, ...] = (1, 5, 10)) -> dict[int, float]:
    """By K: relative difference of the L = 1 bootstrapped gradient and Meta-SGD's."""
    generator = torch.Generator().manual_seed(seed)
    init = fresh_networks(generator, 1, 16)
    rates = {name: torch.tensor(0.01, dtype=torch.float64) for name in init}
    x, y, query_x, query_y = sinusoids(generator, 4, 1, 10, 10)
    losses = squared_error(x, y), squared_error(query_x, query_y)
    gaps = {}
    for steps in inner_steps:
        plain = meta_gradients(init, rates, *losses, steps=steps, tasks=4)
        booted = meta_gradients(
            init, rates, *losses, steps=steps, tasks=4,
            bootstrap=Bootstrap(target_steps=1, target_rate=0.05, moves_init=True),
        )  # fmt: skip
        gaps[steps] = max(
            _largest_gap(booted.rates, plain.rates), _largest_gap(booted.init, plain.init)
        )
    return gaps


def optimistic_target(seed: int, steps: int = 300) -> float:
    """Largest relative difference of BMG's and OMG's paths, identity and dense linear rules."""
    rng = np.random.default_rng(seed)
    worst = 0.0
    for f in (log_uniform_quadratic(60), soft_label_logistic(rng, 200, 40)):
        matrix = rng.standard_normal((f.start.size, f.start.size))
        scale = float(np.linalg.norm(matrix, 2)) ** 2
        first = np.zeros(f.start.size)
        for rule, w1, size in ((None, None, 1.0), (linear_rule(matrix), first, scale)):
            beta = 1 / (4 * size * f.smoothness)
            paths = [
                optimise(
                    f, f.start, method=method, steps=steps, weights="linear", beta=beta,
                    rule=rule, w1=w1, keep_points=True,
                ).points
                for method in ("bmg", "omg")
            ]  # fmt: skip
            assert paths[0] is not None
            assert paths[1] is not None
            worst = max(worst, relative_gap(paths[0], paths[1]))
    return worst


def first_order_ratio(seed: int, inner_steps: int, move: float = 1e-6) -> float:
    """Fall of the query loss after one small bootstrapped step, over beta |meta-gradient|^2.

    beta is such that the rates move by ``move`` in all: far less than the distance to the next
    kink of a ReLU, where first order ends.
    """
    generator = torch.Generator().manual_seed(seed)
    init = fresh_networks(generator, 1, 16)
    rates = {name: torch.tensor(0.01, dtype=torch.float64) for name in init}
    x, y, query_x, query_y = sinusoids(generator, 1, 1, 10, 10)
    support, query = squared_error(x, y), squared_error(query_x, query_y)
    slopes = meta_gradients(
        init, rates, support, query, steps=inner_steps, bootstrap=Bootstrap(), tasks=1
    ).rates
    length = sum(float((slope**2).sum()) for slope in slopes.values())
    size = move / length**0.5

    def after(moved: dict[str, Tensor]) -> float:
        start = {n: v.expand(1, *v.shape).detach() for n, v in init.items()}
        return float(query(adapt(start, moved, support, inner_steps, differentiable=False)))

    change = after({n: rates[n] - size * slopes[n] for n in rates}) - after(rates)
    return float(-change / (size * length))


def divergence_gradient(seed: int) -> float:
    """Largest difference of the KL match's gradient from softmax(student) - softmax(target)."""
    generator = torch.Generator().manual_seed(seed)
    logits = {"logits": torch.randn(15, 5, generator=generator, dtype=torch.float64)}
    labels = torch.randint(0, 5, (15,), generator=generator)
    held = {"logits": torch.tensor(0.1, dtype=torch.float64)}

    def loss(params: Params) -> Tensor:
        return torch.nn.functional.cross_entropy(params["logits"], labels, reduction="sum")

    rate = 0.5
    slopes = meta_gradients(
        logits,
        held,
        loss,
        loss,
        steps=0,
        bootstrap=Bootstrap(1, rate, matching="kl", moves_init=True),
        outputs=lambda params: params["logits"],
    ).init["logits"]
    student = logits["logits"].softmax(-1)
    pull = student - torch.nn.functional.one_hot(labels, 5)
    target = (logits["logits"] - rate * pull).softmax(-1)
    return float((rate * slopes - (student - target)).abs().max())

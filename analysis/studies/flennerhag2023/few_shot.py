"""Who learns inner rates best? Four learners on the sinusoid few-shot problem.

A task is a sine of random amplitude (0.1 to 5) and phase (0 to pi); a small network sees
five points of it, takes three gradient steps and is judged on five more. The initialisation
always follows the query loss; the learners differ in what moves the six log rates, one per
parameter tensor: nothing (MAML), the query loss (Meta-SGD), or a bootstrapped target.
All learners start from the same networks and meet the same tasks, repeat by repeat.

The paper shows rates tuned online on ImageNet (its Fig. 1), not this; the sinusoid
experiment is derived (theory C14). The problem is Finn et al. (2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from .bmg_learner import Bootstrap, Loss, Params, adapt, meta_gradients

LEARNERS: Mapping[str, Bootstrap | None] = {
    "fixed rate": None,
    "Meta-SGD": None,
    "BMG, L=1": Bootstrap(target_steps=1),
    "BMG, L=5": Bootstrap(target_steps=5),
    "BMG, L=5, outputs": Bootstrap(target_steps=5, matching="outputs"),
    "BMG, L=5, moves init": Bootstrap(target_steps=5, moves_init=True),
}
TENSORS = ("weight 1", "bias 1", "weight 2", "bias 2", "weight 3", "bias 3")


@dataclass(frozen=True)
class Protocol:
    """Sizes of the experiment; rates and step sizes are those of theory C14 where it names them.

    Args:
        iterations: Outer steps.
        tasks: Tasks per outer step.
        shots: Support points, and as many query points.
        inner_steps: K.
        hidden: Width of the two hidden layers.
        rate: Inner rate to begin with, and the target's xi.
        init_step: Adam's step for the initialisation.
        rate_step: Adam's step for the log rates.
        test_tasks: Unseen tasks to judge by, 50 query points each.
        dtype: float32, or float64 for identities.
    """

    iterations: int = 500
    tasks: int = 10
    shots: int = 5
    inner_steps: int = 3
    hidden: int = 32
    rate: float = 0.01
    init_step: float = 1e-3
    rate_step: float = 1e-2
    test_tasks: int = 600
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class Learned:
    """What one learner came to, for R independent repeats.

    Args:
        rates: The learned rate of each tensor, in the order of ``TENSORS``, (R, 6).
        error: Test mean squared error after 0 .. K inner steps, (R, K + 1).
        init: The learned initialisations, each (R, rows, columns).
    """

    rates: NDArray[np.float64]
    error: NDArray[np.float64]
    init: dict[str, Tensor]


Batch = tuple[Tensor, Tensor, Tensor, Tensor]


def sinusoids(
    generator: torch.Generator, tasks: int, repeats: int, shots: int, query: int
) -> Batch:
    """Support x, y (tasks, repeats, shots, 1) and query x, y (…, query, 1), in float64."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    height = 0.1 + 4.9 * uniform(tasks, repeats, 1, 1)
    phase = np.pi * uniform(tasks, repeats, 1, 1)
    x = 10 * uniform(tasks, repeats, shots + query, 1) - 5
    y = height * torch.sin(x - phase)
    return x[..., :shots, :], y[..., :shots, :], x[..., shots:, :], y[..., shots:, :]


def network(params: Params, x: Tensor) -> Tensor:
    """1 - hidden - hidden - 1 with ReLU; x (…, N, 1) to (…, N, 1)."""
    for layer in (1, 2):
        x = torch.relu(x @ params[f"weight {layer}"] + params[f"bias {layer}"])
    return x @ params["weight 3"] + params["bias 3"]


def fresh_networks(generator: torch.Generator, repeats: int, hidden: int) -> dict[str, Tensor]:
    """Uniform within 1/sqrt(inputs), as torch.nn.Linear starts; each (repeats, rows, columns)."""
    sizes = (1, hidden, hidden, 1)
    params = {}
    for layer in (1, 2, 3):
        bound = sizes[layer - 1] ** -0.5
        for kind, rows in (("weight", sizes[layer - 1]), ("bias", 1)):
            shape = (repeats, rows, sizes[layer])
            drawn = torch.rand(*shape, generator=generator, dtype=torch.float64)
            params[f"{kind} {layer}"] = bound * (2 * drawn - 1)
    return params


def squared_error(x: Tensor, y: Tensor) -> Loss:
    """The sum over tasks and repeats of each one's mean squared error."""
    return lambda params: ((network(params, x) - y) ** 2).mean((-2, -1)).sum()


def learn(name: str, seed: int, repeats: int, protocol: Protocol) -> Learned:
    """Train one of ``LEARNERS``, R repeats side by side, and judge it on unseen tasks.

    Repeats share nothing but the code: losses add up over them and Adam works element by
    element, so each trains as if alone.
    """
    generator = torch.Generator().manual_seed(seed)
    fresh = fresh_networks(generator, repeats, protocol.hidden)
    init = {n: v.to(protocol.dtype) for n, v in fresh.items()}
    log_rates = {
        n: torch.full((repeats, 1, 1), protocol.rate, dtype=protocol.dtype).log() for n in init
    }
    outer = torch.optim.Adam(
        [
            {"params": list(init.values()), "lr": protocol.init_step},
            {"params": list(log_rates.values()), "lr": protocol.rate_step},
        ]
    )
    for _ in range(protocol.iterations):
        drawn = sinusoids(generator, protocol.tasks, repeats, protocol.shots, protocol.shots)
        x, y, query_x, query_y = (part.to(protocol.dtype) for part in drawn)
        slopes = meta_gradients(
            init,
            log_rates,
            squared_error(x, y),
            squared_error(query_x, query_y),
            steps=protocol.inner_steps,
            bootstrap=LEARNERS[name],
            outputs=partial(network, x=query_x),
            rate_of=torch.exp,
            tasks=protocol.tasks,
        )
        for tensor in init:
            init[tensor].grad = slopes.init[tensor]
            log_rates[tensor].grad = None if name == "fixed rate" else slopes.rates[tensor]
        outer.step()
    rates = {n: v.exp() for n, v in log_rates.items()}
    unseen = torch.Generator().manual_seed(seed + 1_000_003)
    test = sinusoids(unseen, protocol.test_tasks, repeats, protocol.shots, 50)
    error = test_error(init, rates, protocol, tuple(p.to(protocol.dtype) for p in test))
    shown = np.stack([rates[n].flatten().double().numpy() for n in TENSORS], axis=1)
    return Learned(shown, error, init)


def test_error(
    init: Params, rates: Params, protocol: Protocol, test: tuple[Tensor, ...]
) -> NDArray[np.float64]:
    """Mean squared error on the query points after 0 .. K inner steps, (R, K + 1).

    Infinite where training diverged.
    """
    x, y, query_x, query_y = test
    now: Params = {n: v.expand(len(x), *v.shape) for n, v in init.items()}
    errors = []
    for step in range(protocol.inner_steps + 1):
        if step:
            moved = adapt(now, rates, squared_error(x, y), 1, differentiable=False)
            now = {n: v.detach() for n, v in moved.items()}
        missed = (network(now, query_x) - query_y) ** 2
        errors.append(missed.mean((0, 2, 3)).double().numpy())
    answer = np.stack(errors, axis=1)
    return np.where(np.isfinite(answer), answer, np.inf)


def few_shot_table(protocol: Protocol, repeats: int, seed: int) -> pd.DataFrame:
    """One row per learner and repeat: ``learner``, ``repeat``, ``k=0`` .. ``k=K``, rate per tensor.

    ``BMG, L=1`` is left out: it is Meta-SGD (see :func:`largest_parting`).
    """
    parts = []
    for name in (name for name in LEARNERS if name != "BMG, L=1"):
        learned = learn(name, seed, repeats, protocol)
        columns = [*(f"k={k}" for k in range(protocol.inner_steps + 1)), *TENSORS]
        part = pd.DataFrame(np.hstack([learned.error, learned.rates]), columns=columns)
        part.insert(0, "learner", name)
        part.insert(1, "repeat", range(repeats))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def largest_parting(seed: int, iterations: int) -> float:
    """How far ``BMG, L=1`` ends from Meta-SGD, relative, over all learned numbers, in float64."""
    protocol = Protocol(iterations=iterations, test_tasks=1, dtype=torch.float64)
    plain, booted = (learn(name, seed, 2, protocol) for name in ("Meta-SGD", "BMG, L=1"))
    init = max(
        float((booted.init[n] - plain.init[n]).abs().max() / plain.init[n].abs().max())
        for n in plain.init
    )
    return max(float(np.max(np.abs(booted.rates / plain.rates - 1))), init)

r"""Does the landscape matter for a network too? A small two-layer student, trained both ways.

Student and teacher are f(x) = Σ_k s_k softplus(w_k · x): three hidden units in six dimensions,
output signs s = (+, −, +) fixed. A task is a teacher near the centre of its type; easy and hard
tasks differ only in the variance of their inputs. NAL trains the plain loss; MAML trains the loss
after K gradient steps, differentiating through all of them. Both start midway between the centres,
see the same tasks and are tested, after K steps, on the same unseen tasks.

One geometry proves little for a network: curvature now depends on where the centres lie, so two
types with equal input variance are not exactly equally hard. Every scenario is therefore trained in
many drawn geometries at once (one tensor axis, a *world* each), paired across scenarios, and
summarised by the median over geometries with an interval that assumes no distribution.

From the paper (abstract): the claim that the insights carry over to two-layer networks. Derived
here, since its theorem and experiment could not be obtained: this student, its scales, the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch.nn.functional import softplus

from .setting import LandscapeError

Array = NDArray[np.float64]

UNITS, INPUTS = 3, 6
SIGNS = (1.0, -1.0, 1.0)

_DTYPE = torch.float32
"""Rounding moves a risk by about 1e-6 of itself; single precision trains three times as fast."""


@dataclass(frozen=True)
class Scenario:
    """One landscape for the network.

    Args:
        name: What a figure calls it.
        rho_easy: Input variance of easy tasks.
        rho_hard: Input variance of hard tasks.
        distance: Frobenius distance ``R`` of the two centres, as weight matrices.
        r_easy: Root mean squared distance of easy teachers from their centre.
        r_hard: The same for hard teachers.
        alpha: Inner step size.
        steps: Inner steps.
    """

    name: str
    rho_easy: float = 1.0
    rho_hard: float = 0.05
    distance: float = 2.0
    r_easy: float = 0.1
    r_hard: float = 0.1
    alpha: float = 0.8
    steps: int = 5


@dataclass(frozen=True)
class Training:
    """How long the students train, and on how much.

    Args:
        geometries: Pairs of centres drawn; each is one world per scenario.
        outer_steps: Adam steps with a cosine schedule.
        tasks: Tasks per outer step, half of each type.
        samples: Samples per task, for the inner steps and again, afresh, for the outer loss.
        rate: Adam's first step size.
        test_tasks: Unseen tasks per world, half of each type.
        seed: Seed of geometries, training and test draws.
    """

    geometries: int = 9
    outer_steps: int = 300
    tasks: int = 16
    samples: int = 96
    rate: float = 0.03
    test_tasks: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a scenario did in each geometry. All arrays ``(G,)``.

    Args:
        scenario: The scenario.
        nal_easy: NAL's excess risk after adaptation on easy tasks.
        nal_hard: The same on hard tasks.
        maml_easy: MAML's on easy tasks.
        maml_hard: MAML's on hard tasks.
        nal_position: Where NAL ended between the centres (0 easy, 1 hard; nan if they coincide).
        maml_position: Where MAML ended.
    """

    scenario: Scenario
    nal_easy: Array
    nal_hard: Array
    maml_easy: Array
    maml_hard: Array
    nal_position: Array
    maml_position: Array

    @property
    def ratio(self) -> Array:
        """NAL's excess risk over MAML's, both types equally likely."""
        return (self.nal_easy + self.nal_hard) / (self.maml_easy + self.maml_hard)


def predict(weights: Tensor, inputs: Tensor) -> Tensor:
    """``f(x)``: ``weights (…, U, D)``, ``inputs (…, n, D)`` → ``(…, n)``."""
    return softplus(inputs @ weights.transpose(-1, -2)) @ weights.new_tensor(SIGNS)


def adapt(weights: Tensor, inputs: Tensor, labels: Tensor, alpha: Tensor, steps: int) -> Tensor:
    """``steps`` gradient steps on ½ mean squared error, written out so that autograd sees through.

    Args:
        weights: ``(…, U, D)``.
        inputs: ``(…, n, D)``.
        labels: ``(…, n)``.
        alpha: Step size, broadcast against ``weights``.
        steps: Number of steps.
    """
    signs = weights.new_tensor(SIGNS)
    for _ in range(steps):
        hidden = inputs @ weights.transpose(-1, -2)
        wrong = softplus(hidden) @ signs - labels
        slope = wrong[..., None] * torch.sigmoid(hidden) * signs
        weights = weights - alpha * (slope.transpose(-1, -2) @ inputs) / inputs.shape[-2]
    return weights


def train_and_test(scenarios: Sequence[Scenario], training: Training) -> list[Outcome]:
    """Train NAL and MAML in every scenario and geometry, and test both.

    Scenarios with the same number of inner steps share one batch; all share their draws.
    """
    outcomes: dict[str, Outcome] = {}
    for steps in sorted({s.steps for s in scenarios}):
        together = [s for s in scenarios if s.steps == steps]
        for outcome in _Worlds(together, training).outcomes():
            outcomes[outcome.scenario.name] = outcome
    if len(outcomes) != len(scenarios):
        raise LandscapeError("two scenarios share a name; give each its own", code="scenario")
    return [outcomes[s.name] for s in scenarios]


def median_interval(values: Array) -> tuple[float, float, float]:
    """Median with a 95 % interval from order statistics, exact for any continuous distribution.

    Raises:
        LandscapeError: Fewer than six values, for which no such interval exists.
    """
    n = len(values)
    if n < 6:
        raise LandscapeError(f"{n} values; a 95 % interval of a median needs at least 6")
    rank = int(stats.binom.ppf(0.025, n, 0.5))  # the rank-th smallest and the rank-th largest
    ordered = np.sort(values)
    low, high = ordered[rank - 1], ordered[n - rank]
    return float(np.median(values)), float(low), float(high)


class _Worlds:
    """Scenarios times geometries as one leading tensor axis ``W``, geometry fastest."""

    def __init__(self, scenarios: Sequence[Scenario], training: Training) -> None:
        self.scenarios, self.training = scenarios, training
        self.geometries = training.geometries
        draw = torch.Generator().manual_seed(training.seed)
        shape = (self.geometries, UNITS, INPUTS)
        middle = torch.randn(shape, generator=draw, dtype=_DTYPE)
        toward = torch.randn(shape, generator=draw, dtype=_DTYPE)
        toward /= toward.flatten(1).norm(dim=1)[:, None, None]
        worlds = len(scenarios)
        half = self._column([s.distance / 2 for s in scenarios])
        middle, toward = middle.repeat(worlds, 1, 1), toward.repeat(worlds, 1, 1)
        # (W, 2, U, D): the easy and the hard centre of each world.
        self.centres = torch.stack([middle - half * toward, middle + half * toward], 1)
        self.alpha = self._column([s.alpha for s in scenarios])[:, None]
        self.scale = self._types([(s.rho_easy**0.5, s.rho_hard**0.5) for s in scenarios])
        spread = [(s.r_easy, s.r_hard) for s in scenarios]
        self.spread = self._types(spread) / (UNITS * INPUTS) ** 0.5

    def outcomes(self) -> list[Outcome]:
        """Train both students and read them off, one outcome per scenario."""
        nal, maml = self._train(steps=0), self._train(steps=self.scenarios[0].steps)
        risk_nal, risk_maml = self._test(nal), self._test(maml)
        at_nal, at_maml = self._position(nal), self._position(maml)
        found = []
        for index, scenario in enumerate(self.scenarios):
            rows = slice(index * self.geometries, (index + 1) * self.geometries)
            found.append(
                Outcome(
                    scenario,
                    nal_easy=risk_nal[rows, 0],
                    nal_hard=risk_nal[rows, 1],
                    maml_easy=risk_maml[rows, 0],
                    maml_hard=risk_maml[rows, 1],
                    nal_position=at_nal[rows],
                    maml_position=at_maml[rows],
                )
            )
        return found

    def _train(self, *, steps: int) -> Tensor:
        """The start ``(W, U, D)`` that Adam finds; ``steps = 0`` is NAL."""
        plan = self.training
        draw = torch.Generator().manual_seed(plan.seed + 1)
        start = self.centres.mean(1).requires_grad_()
        optimiser = torch.optim.Adam([start], lr=plan.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, plan.outer_steps)
        for _ in range(plan.outer_steps):
            teachers, inner, outer = self._tasks(draw, plan.tasks, plan.samples, plan.samples)
            weights = start[:, None].expand_as(teachers)
            weights = adapt(weights, inner, predict(teachers, inner), self.alpha, steps)
            wrong = predict(weights, outer) - predict(teachers, outer)
            # Worlds do not interact, so the gradient of the sum is each world's own.
            loss = 0.5 * wrong.square().mean((1, 2)).sum()
            (start.grad,) = torch.autograd.grad(loss, [start])
            optimiser.step()
            schedule.step()
        return start.detach()

    def _test(self, start: Tensor) -> Array:
        """Excess risk after adaptation ``(W, 2)``, easy and hard, on the same tasks for all."""
        draw = torch.Generator().manual_seed(self.training.seed + 2)
        plan, block = self.training, 20
        risks = []
        with torch.no_grad():
            for _ in range(0, plan.test_tasks, block):
                teachers, inner, outer = self._tasks(draw, block, plan.samples, 500)
                weights = start[:, None].expand_as(teachers)
                labels = predict(teachers, inner)
                weights = adapt(weights, inner, labels, self.alpha, self.scenarios[0].steps)
                wrong = predict(weights, outer) - predict(teachers, outer)
                risk = 0.5 * wrong.square().mean(2)
                risks.append(torch.stack([risk[:, 0::2].mean(1), risk[:, 1::2].mean(1)], 1))
        return np.asarray(torch.stack(risks).mean(0).numpy(), dtype=np.float64)

    def _position(self, start: Tensor) -> Array:
        along = self.centres[:, 1] - self.centres[:, 0]
        length = along.square().sum((1, 2))
        from_easy = ((start - self.centres[:, 0]) * along).sum((1, 2))
        return np.asarray(torch.where(length > 0, from_easy / length, torch.nan).numpy())

    def _tasks(
        self, draw: torch.Generator, count: int, inner: int, outer: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Teachers ``(W, T, U, D)`` and inputs ``(W, T, n, D)``, easy and hard in turn."""
        kind = torch.arange(count) % 2

        def normal(*shape: int) -> Tensor:
            drawn = torch.randn(self.geometries, *shape, generator=draw, dtype=_DTYPE)
            return drawn.repeat(len(self.scenarios), *[1] * len(shape))

        offset = self.spread[:, kind] * normal(count, UNITS, INPUTS)
        inputs = self.scale[:, kind] * normal(count, inner + outer, INPUTS)
        return self.centres[:, kind] + offset, inputs[:, :, :inner], inputs[:, :, inner:]

    def _column(self, values: list[float]) -> Tensor:
        """``(W, 1, 1)`` from one value per scenario."""
        column = torch.tensor(values, dtype=_DTYPE)
        return column.repeat_interleave(self.geometries)[:, None, None]

    def _types(self, values: list[tuple[float, float]]) -> Tensor:
        """``(W, 2, 1, 1)`` from one value per scenario and type."""
        pairs = torch.tensor(values, dtype=_DTYPE)
        return pairs.repeat_interleave(self.geometries, 0)[..., None, None]

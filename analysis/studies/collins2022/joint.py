r"""Should the training step go down or up? Two papers meet in one simulation.

Bernacchia (2021) finds that the best *training* rate α_t is negative: with label noise and few
tasks, stepping away from the data before judging averages the noise better. This paper's
landscape pulls the other way: when hard optima lie far from easy ones, only α_t > 0 lets the step
take care of the easy tasks and moves the start to the hard ones. Which wins depends on the noise
σ, the distance R and the number of training tasks m. The phase diagram says where.

Exact finite-task meta-training, no optimiser: for one draw of m tasks, with inner data S_i, v_i and
outer data V_i = X_vᵀX_v, the start that minimises the outer loss solves

.. math:: \sum_i A_i V_i A_i\, w = \sum_i A_i V_i A_i w_i + A_i (u_i - \alpha_t V_i v_i),
          \qquad A_i = I - \alpha_t S_i,

quadratic in α_t on both sides and linear in σ. Its test risk at a fixed test rate α_r is then known
in closed form (F4), so only meta-training is simulated.

Neither paper contains this experiment; it was derived here from the model of both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .closed_form import noise_risk, risk_at, starts, weights
from .setting import Landscape, LandscapeError
from .simulation import Estimate

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MetaTraining:
    """What meta-training sees and which rates are compared.

    Args:
        tasks: ``m``, half easy and half hard.
        n_inner: Rows of the inner step, per task.
        n_outer: Rows of the outer loss, per task.
        rates: Training rates ``α_t`` to compare; must hold 0.
        runs: Independent meta-trainings.
        seed: Seed of all draws.
    """

    tasks: int
    n_inner: int = 40
    n_outer: int = 10
    rates: tuple[float, ...] = tuple(round(0.1 * i, 1) for i in range(-15, 13))
    runs: int = 100
    seed: int = 0


@dataclass(frozen=True)
class BestRate:
    """The best training rate, chosen on one half of the runs and judged on the other.

    Args:
        rate: ``α_t`` with the least mean test risk in the first half.
        margin: Its test risk minus that of ``α_t = 0``, paired over the second half; negative
            means that the rate is better than none.
        at_edge: Whether it is the first or last rate tried, so that the true best lies beyond.
    """

    rate: float
    margin: Estimate
    at_edge: bool

    @property
    def sign(self) -> int:
        """+1 or −1 where the rate is better than 0 by 3 standard errors, else 0."""
        if self.rate == 0 or self.margin.z(0) > -3:
            return 0
        return 1 if self.rate > 0 else -1


def learnt_risks(land: Landscape, training: MetaTraining, noises: tuple[float, ...]) -> Array:
    """Excess test risk for each noise, run and training rate: ``(S, runs, A)``.

    Args:
        land: The landscape; its ``alpha`` and ``n_test`` are those of the test step, its ``noise``
            and ``n_train`` are replaced. One step, ``p_hard`` = ½.
        training: What meta-training sees.
        noises: ``σ`` of the labels, in training and at test. They share all draws.

    Raises:
        LandscapeError: Fewer outer rows than weights, where the start is not determined.
    """
    if training.tasks * training.n_outer < land.dim or training.tasks % 2:
        raise LandscapeError(
            f"{training.tasks} tasks of {training.n_outer} outer rows for {land.dim} weights; give "
            "an even number of tasks and at least as many rows in all as weights"
        )
    rng = np.random.default_rng(training.seed)
    rates = np.asarray(training.rates)
    sigma = np.asarray(noises)
    centre = land.distance * np.eye(land.dim)[0]
    found = np.empty((len(sigma), training.runs, len(rates), land.dim))
    for run in range(training.runs):
        clean, noisy = _meta_train(rng, land, training, centre)
        found[:, run] = clean + sigma[:, None, None] * noisy
    easy, hard = weights(land, land.n_test)
    from_easy = (found**2).sum(-1) + land.r_easy**2
    from_hard = ((found - centre) ** 2).sum(-1) + land.r_hard**2
    fitted = np.array([noise_risk(replace(land, noise=s)) for s in noises])
    return np.asarray(0.5 * (easy * from_easy + hard * from_hard) + fitted[:, None, None])


def best_rate(risks: Array, rates: tuple[float, ...]) -> BestRate:
    """Choose the rate on even runs and judge it on odd ones.

    Choosing and judging on the same runs would flatter the winner.

    Args:
        risks: ``(runs, A)``, paired over rates.
        rates: ``(A,)``, holding 0.
    """
    chosen = int(risks[0::2].mean(0).argmin())
    margin = risks[1::2, chosen] - risks[1::2, rates.index(0.0)]
    error = float(margin.std(ddof=1) / np.sqrt(len(margin)))
    return BestRate(
        rate=rates[chosen],
        margin=Estimate(float(margin.mean()), error),
        at_edge=chosen in (0, len(rates) - 1),
    )


def best_rate_with_many_tasks(land: Landscape, training: MetaTraining) -> float:
    """The best of the rates as m → ∞, from the closed form: noise and scatter average out.

    Returns:
        The rate; nan at ``distance = 0``, where every rate ends at the common centre.
    """
    if land.distance == 0:
        return float("nan")
    trained = [replace(land, alpha=rate, n_train=training.n_inner) for rate in training.rates]
    risk = [risk_at(land, starts(each)[1]) for each in trained]
    return training.rates[int(np.argmin(risk))]


def _meta_train(
    rng: np.random.Generator, land: Landscape, training: MetaTraining, centre: Array
) -> tuple[Array, Array]:
    """The learnt start at every rate, ``(A, D)``: without noise, and what unit noise adds."""
    count, dim = training.tasks, land.dim
    kind = np.arange(count) % 2
    scale = np.sqrt(np.array(land.variances))[kind, None, None]
    radius = np.array([land.r_easy, land.r_hard])[kind, None] / np.sqrt(dim)
    optima = kind[:, None] * centre + radius * rng.standard_normal((count, dim))
    inner = scale * rng.standard_normal((count, training.n_inner, dim))
    outer = scale * rng.standard_normal((count, training.n_outer, dim))
    inner_noise = rng.standard_normal((count, training.n_inner, 1))
    outer_noise = rng.standard_normal((count, training.n_outer, 1))

    s = inner.transpose(0, 2, 1) @ inner / training.n_inner
    v = outer.transpose(0, 2, 1) @ outer
    shift = inner.transpose(0, 2, 1) @ inner_noise / training.n_inner
    pull = outer.transpose(0, 2, 1) @ outer_noise
    optimum = optima[..., None]
    sv, vs = s @ v, v @ s
    # Coefficients of α_t⁰, α_t¹, α_t² of both sides; the right side for signal and for noise.
    left = [v.sum(0), -(sv + vs).sum(0), (sv @ s).sum(0)]
    signal = [(v @ optimum).sum(0), -((sv + vs) @ optimum).sum(0), (sv @ s @ optimum).sum(0)]
    noise = [pull.sum(0), -(s @ pull + v @ shift).sum(0), (sv @ shift).sum(0)]
    powers = np.asarray(training.rates)[:, None] ** np.arange(3)
    matrix = np.einsum("ak,kij->aij", powers, np.stack(left))
    sides = np.concatenate([np.stack(signal), np.stack(noise)], 2)
    solved = np.linalg.solve(matrix, np.einsum("ak,kic->aic", powers, sides))
    return solved[..., 0], solved[..., 1]

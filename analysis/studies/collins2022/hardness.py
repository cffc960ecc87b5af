r"""How hard are real tasks? Read it from how fast gradient descent fits a head on frozen features.

The theory's hardness is |1 − αρ|: the factor by which one step shrinks what is still wrong. On the
embeddings Φ (n, D) of a task it can be measured. Start a linear head at zero, take K gradient
steps on the squared loss, and compare the excess loss over the best head:

.. math:: \text{rate} = \Bigl(\frac{\text{excess}_K}{\text{excess}_0}\Bigr)^{1/2K},
          \qquad \hat\rho = (1 - \text{rate})/\text{step}.

A rate near 1 is a hard task. Then the same algebra as for the two-type landscape, with the measured
second moments in place of ρ I (F2, F3, F9), predicts what training for adaptation would gain.

Two things to know before use. Scale embeddings by one global factor only: whitening each task makes
all tasks equally easy. And with class labels shuffled from episode to episode, the mean head is the
same for every class, so both starts are zero and the predicted gain of a head is zero by
construction (:func:`class_orders` shows it); whatever gain there is must then act through the
features.

From the paper (abstract): hardness as the rate of gradient descent. Derived here: the estimator and
the plug-in.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from .mixture import measured_curvature, mixture_risk, squared_length, weighted_centre
from .setting import LandscapeError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class HeadRates:
    """How each task's head is learnt. All arrays ``(E,)``.

    Args:
        rate: Factor by which one step shrinks the root of the excess loss; near 1 is hard.
        curvature: ``ρ̂ = (1 − rate)/step``, the variance the targets effectively see.
        effective_dim: ``(tr S)²/tr S²`` of ``S = ΦᵀΦ/n``, between 1 and D.
    """

    rate: Array
    curvature: Array
    effective_dim: Array


@dataclass(frozen=True)
class Split:
    """Tasks divided into easy and hard at one rate.

    Args:
        hard: ``(E,)``, true for tasks slower than the threshold.
        threshold: The rate halfway across the division.
        gap: Rate of the fastest hard task minus that of the slowest easy one.
        explained: Share of the variance of rates between the two groups, in [0, 1]. One normal
            cluster gives 2/π ≈ 0.64, so only values well above that speak for two types.
    """

    hard: Mask
    threshold: float
    gap: float
    explained: float


@dataclass(frozen=True)
class MeasuredLandscape:
    """A landscape read off tasks, and what it predicts.

    Args:
        nal: Start of non-adaptive learning ``(D, C)``.
        maml: Start of MAML ``(D, C)``.
        a: Position of NAL between the easy (0) and hard (1) centre; nan if they coincide.
        b: Position of MAML.
        distance: ``R`` between the centres.
        r_easy: Root mean squared distance of easy heads from their centre.
        r_hard: The same for hard heads.
        gain: Predicted ``Δ`` in units of squared-error loss.
        ratio: Predicted ``G``.
    """

    nal: Array
    maml: Array
    a: float
    b: float
    distance: float
    r_easy: float
    r_hard: float
    gain: float
    ratio: float


def centred_targets(labels: NDArray[np.integer]) -> Array:
    """One-hot targets minus their mean over the task: ``labels (E, n)`` → ``(E, n, C)``.

    Args:
        labels: Class of each row, 0…C−1 within its task.
    """
    ways = int(labels.max()) + 1
    one_hot = np.eye(ways)[labels]
    return np.asarray(one_hot - one_hot.mean(1, keepdims=True), dtype=np.float64)


def centred_features(embeddings: NDArray[np.floating]) -> Array:
    """Each task's embeddings minus their mean, ``(E, n, D)``: what a head with a bias sees."""
    features = np.asarray(embeddings, dtype=np.float64)
    return np.asarray(features - features.mean(1, keepdims=True), dtype=np.float64)


def second_moments(features: Array) -> Array:
    """``S = ΦᵀΦ/n``: ``(E, n, D)`` → ``(E, D, D)``."""
    moments = features.transpose(0, 2, 1) @ features / features.shape[1]
    return np.asarray(moments, dtype=np.float64)


def safe_step(features: Array) -> float:
    """``1/λ``, λ the largest eigenvalue of any task's ``S``: no direction of any overshoots."""
    singular = np.linalg.svd(features, compute_uv=False)[:, 0]
    return float(features.shape[1] / (singular**2).max())


def head_rates(features: Array, targets: Array, *, step: float, steps: int = 3) -> HeadRates:
    """Run gradient descent on a linear head for every task, and read its rate.

    Args:
        features: Frozen embeddings ``(E, n, D)``; n may be below D.
        targets: ``(E, n)`` or ``(E, n, C)``, such as :func:`centred_targets`.
        step: Step size, the same for all tasks so that they compare; see :func:`safe_step`.
        steps: Steps K.

    Raises:
        LandscapeError: Shapes that do not match, a step at which some task diverges, targets that
            the features cannot fit at all, or values that are not finite.
    """
    columns = targets if targets.ndim == 3 else targets[..., None]
    if features.ndim != 3 or features.shape[:2] != columns.shape[:2]:
        raise LandscapeError(
            f"features {features.shape} and targets {targets.shape}; give (E, n, D) and (E, n, C)"
        )
    if not (np.isfinite(features).all() and np.isfinite(columns).all()):
        raise LandscapeError("features or targets hold NaN or infinity; remove those tasks")
    rows = features.shape[1]
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    spectrum = singular**2 / rows
    if steps < 1 or not 0 < step * spectrum.max() < 2:
        raise LandscapeError(
            f"step={step}, steps={steps}: descent needs at least one step, positive and below "
            f"2/λ = {2 / spectrum.max():.4g}; safe_step(features) gives one",
            code="step-size",
        )
    # What the best head leaves over is not excess: keep the part of the targets Φ can reach.
    reach = spectrum > spectrum.max(1, keepdims=True) * 1e-12
    wrong = left @ (reach[..., None] * (left.transpose(0, 2, 1) @ columns))
    start = (wrong**2).sum((1, 2))
    if (start == 0).any():
        raise LandscapeError("a task whose features say nothing about its targets has no rate")
    for _ in range(steps):
        wrong = wrong - step / rows * features @ (features.transpose(0, 2, 1) @ wrong)
    rate = ((wrong**2).sum((1, 2)) / start) ** (1 / (2 * steps))
    return HeadRates(
        rate=rate,
        curvature=(1 - rate) / step,
        effective_dim=spectrum.sum(1) ** 2 / (spectrum**2).sum(1),
    )


def split_by_rate(rates: Array) -> Split:
    """Divide tasks into easy and hard where the variance within the two groups is least.

    Raises:
        LandscapeError: Fewer than two distinct rates.
    """
    order = np.sort(rates)
    if len(order) < 2 or order[0] == order[-1]:
        raise LandscapeError("all tasks have the same rate; there is nothing to divide")
    count = np.arange(1, len(order))
    below, above = np.cumsum(order)[:-1], order.sum() - np.cumsum(order)[:-1]
    between = below**2 / count + above**2 / (len(order) - count) - order.sum() ** 2 / len(order)
    at = int(between.argmax())
    threshold = float((order[at] + order[at + 1]) / 2)
    total = ((order - order.mean()) ** 2).sum()
    return Split(
        hard=rates > threshold,
        threshold=threshold,
        gap=float(order[at + 1] - order[at]),
        explained=float(between[at] / total),
    )


def fit_heads(features: Array, targets: Array, *, ridge: float = 0.0) -> Array:
    """Least-squares heads ``(E, D, C)`` with penalty ``ridge`` on ``½‖w‖²`` per sample.

    Args:
        features: ``(E, n, D)``.
        targets: ``(E, n)`` or ``(E, n, C)``.
        ridge: Penalty; with 0 the head of least norm.
    """
    columns = targets if targets.ndim == 3 else targets[..., None]
    moments = second_moments(features) + ridge * np.eye(features.shape[2])
    pulled = features.transpose(0, 2, 1) @ columns / features.shape[1]
    return np.asarray(np.linalg.pinv(moments, hermitian=True) @ pulled, dtype=np.float64)


def measure_landscape(
    inner: Array, outer: Array, heads: Array, hard: Mask, *, alpha: float, steps: int = 1
) -> MeasuredLandscape:
    """Plug measured moments and heads into F2, F3 and F9.

    Fitted label noise, the same for both starts, is left out of the ratio.

    Args:
        inner: Embeddings the inner steps see, ``(E, n, D)``: the support of each task.
        outer: Other embeddings of the same tasks, ``(E, m, D)``: the query. Passing the support
            twice would bias the curvature by the 1/n term of F1.
        heads: Optima ``(E, D, C)``, from :func:`fit_heads`.
        hard: ``(E,)``, which tasks count as hard, from :func:`split_by_rate`.
        alpha: Inner step size of the learner to be predicted.
        steps: Its inner steps.

    Raises:
        LandscapeError: One of the two types is empty.
    """
    if hard.all() or not hard.any():
        raise LandscapeError("every task is of one type; a landscape needs easy and hard tasks")
    support, query = second_moments(inner), second_moments(outer)
    curvature = measured_curvature(support, query, alpha=alpha, steps=steps)
    shares = np.full(len(heads), 1 / len(heads))
    nal = weighted_centre(query, heads, shares)
    maml = weighted_centre(curvature, heads, shares)
    easy_centre, hard_centre = heads[~hard].mean(0), heads[hard].mean(0)
    along = hard_centre - easy_centre
    length = float((along**2).sum())

    def position(start: Array) -> float:
        return float(((start - easy_centre) * along).sum() / length) if length > 0 else np.nan

    def radius(of: Array, centre: Array) -> float:
        return float(np.sqrt(((of - centre) ** 2).sum((1, 2)).mean()))

    at_nal = mixture_risk(nal, curvature, heads, shares)
    at_maml = mixture_risk(maml, curvature, heads, shares)
    return MeasuredLandscape(
        nal=nal,
        maml=maml,
        a=position(nal),
        b=position(maml),
        distance=length**0.5,
        r_easy=radius(heads[~hard], easy_centre),
        r_hard=radius(heads[hard], hard_centre),
        gain=0.5 * squared_length(nal - maml, np.einsum("t,tij->ij", shares, curvature)),
        ratio=at_nal / at_maml if at_maml > 0 else (1.0 if at_nal == 0 else np.inf),
    )


def class_orders(targets: Array) -> Array:
    """Every order of the class columns: ``(E, n, C)`` → ``(C!·E, n, C)``.

    Shuffled class labels, exactly: each task appears once with each naming of its classes.
    """
    orders = permutations(range(targets.shape[2]))
    return np.concatenate([targets[..., list(order)] for order in orders])


def planted_classes(
    *, tasks: int, way: int, rows: int, dim: int, gap: float, seed: int
) -> tuple[Array, NDArray[np.int64]]:
    """Classification tasks whose classes are normal clusters at a known distance.

    Args:
        tasks: ``E``.
        way: Classes per task.
        rows: Rows per class.
        dim: ``D``.
        gap: Root mean squared distance of a class mean from the origin; within a class the
            deviation is 1 per coordinate. Small gaps make hard tasks.
        seed: Seed of all draws.

    Returns:
        Embeddings ``(E, way·rows, D)`` and labels ``(E, way·rows)``, class-major.
    """
    rng = np.random.default_rng(seed)
    means = gap / np.sqrt(dim) * rng.standard_normal((tasks, way, 1, dim))
    embeddings = means + rng.standard_normal((tasks, way, rows, dim))
    labels = np.tile(np.repeat(np.arange(way), rows), (tasks, 1))
    return embeddings.reshape(tasks, way * rows, dim), labels

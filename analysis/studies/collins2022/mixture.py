r"""Any mixture of tasks: how much of each task's curvature one step of adaptation leaves.

Task i has input covariance Σ_i (any shape), optimum w_i and probability p_i. One step of size α
on n samples turns the loss around w_i into one with curvature

.. math:: Q_i = (I-\alpha\Sigma_i)\Sigma_i(I-\alpha\Sigma_i)
          + \tfrac{\alpha^2}{n}\bigl(\operatorname{tr}(\Sigma_i^2)\,\Sigma_i + \Sigma_i^3\bigr)
          \quad (F1)

plus a constant for fitted label noise. NAL and MAML are the same weighted centre of optima,

.. math:: w = (E\,C_i)^{-1} E[C_i w_i], \quad C_i = \Sigma_i\ \text{(NAL)},\ Q_i\ \text{(MAML)}
          \quad (F2)

and whatever the covariances and α, MAML wins by ½‖w_NAL − w_MAML‖² in the metric E Q_i (F3).

Derived here, exact for Gaussian inputs; the shape of F1 and F2 agrees with what is remembered
of the paper's Section 3, which could not be obtained to confirm it. F9, the version for measured
covariances, is derived here for use on real embeddings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .setting import LandscapeError

Array = NDArray[np.float64]


def adapted_curvature(covariance: Array, *, alpha: float, n: float) -> Array:
    """``Q``: curvature of the loss that is left after one step on ``n`` samples (F1).

    Args:
        covariance: ``Σ (…, D, D)``.
        alpha: Inner step size.
        n: Samples of the step, or ``math.inf``.

    Returns:
        ``(…, D, D)``.
    """
    left = np.eye(covariance.shape[-1]) - alpha * covariance
    square = covariance @ covariance
    trace = np.trace(square, axis1=-2, axis2=-1)[..., None, None]
    sampled = alpha**2 / n * (trace * covariance + square @ covariance)
    return np.asarray(left @ covariance @ left + sampled, dtype=np.float64)


def adapted_noise(covariance: Array, *, alpha: float, n: float, noise: float) -> Array:
    """Excess risk from label noise of deviation ``noise`` fitted by the step, ``(…)`` (F1)."""
    square = np.trace(covariance @ covariance, axis1=-2, axis2=-1)
    return np.asarray(alpha**2 * noise**2 / (2 * n) * square, dtype=np.float64)


def weighted_centre(curvatures: Array, optima: Array, shares: Array) -> Array:
    """``(E C_i)^{-1} E[C_i w_i]``: the start that minimises ``E ½‖w − w_i‖²_{C_i}`` (F2).

    Args:
        curvatures: ``C (T, D, D)``; the covariances for NAL, :func:`adapted_curvature` for MAML.
        optima: ``w (T, D)`` or, with several outputs, ``(T, D, C)``.
        shares: ``p (T,)``.

    Returns:
        ``(D,)`` or ``(D, C)``; the one of least norm where directions are left free.
    """
    if len(curvatures) != len(optima) or len(optima) != len(shares):
        raise LandscapeError(
            f"{len(curvatures)} curvatures, {len(optima)} optima and {len(shares)} shares; "
            "give one of each per task"
        )
    columns = optima if optima.ndim == 3 else optima[..., None]
    total = np.einsum("t,tij->ij", shares, curvatures)
    pulled = np.einsum("t,tij,tjc->ic", shares, curvatures, columns)
    centre = np.linalg.lstsq(total, pulled, rcond=None)[0]
    return np.asarray(centre.reshape(optima.shape[1:]), dtype=np.float64)


def mixture_risk(start: Array, curvatures: Array, optima: Array, shares: Array) -> float:
    """``E ½‖w − w_i‖²_{C_i}``, the excess risk at ``start`` without the noise constant.

    Args:
        start: ``(D,)`` or ``(D, C)``.
        curvatures: ``C (T, D, D)``.
        optima: ``(T, D)`` or ``(T, D, C)``.
        shares: ``(T,)``.
    """
    away = start - optima
    columns = away if away.ndim == 3 else away[..., None]
    return float(0.5 * np.einsum("t,tic,tij,tjc->", shares, columns, curvatures, columns))


def squared_length(vector: Array, curvature: Array) -> float:
    """``‖v‖²`` in the metric ``C (D, D)``, summed over the columns of ``v (D,)`` or ``(D, C)``."""
    columns = vector if vector.ndim == 2 else vector[:, None]
    return float(np.einsum("ic,ij,jc->", columns, curvature, columns))


def measured_curvature(inner: Array, outer: Array, *, alpha: float, steps: int = 1) -> Array:
    """``(I − αS)^K Σ (I − αS)^K`` from measured second moments (F9).

    Args:
        inner: ``S (E, D, D)``, of the samples the step sees.
        outer: ``Σ (E, D, D)``, of other samples. From the same ones, the sampling term of F1 is
            counted with a bias of order 1/n.
        alpha: Inner step size.
        steps: Inner steps K.
    """
    left = np.linalg.matrix_power(np.eye(inner.shape[-1]) - alpha * inner, steps)
    return np.asarray(left @ outer @ left, dtype=np.float64)

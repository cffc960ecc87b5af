"""Intervals and tests for paired differences in accuracy.

Two questions, two kinds of interval. *This checkpoint on these classes*: episodes are the
sample, and :func:`t_interval` and :func:`bca_interval` answer. *This checkpoint on new classes*:
classes are a sample too, and :func:`classes_by_episodes` answers; it is the headline.

Everything is a share, never a percentage. Every draw comes from an explicit seed.
"""

from .clustered import (
    Estimate,
    classes_by_episodes,
    hierarchical_interval,
    seed_interval,
    seeds_by_classes,
    seeds_by_episodes,
)
from .intervals import bca_interval, intervals_agree, t_interval, wilson_interval
from .samples import FloatArray, IntArray, Interval, StatisticsError
from .significance import (
    holm,
    mcnemar_p,
    minimum_detectable_effect,
    power_factor,
    sign_flip_p,
    tost_p,
)

__all__ = [
    "Estimate",
    "FloatArray",
    "IntArray",
    "Interval",
    "StatisticsError",
    "bca_interval",
    "classes_by_episodes",
    "hierarchical_interval",
    "holm",
    "intervals_agree",
    "mcnemar_p",
    "minimum_detectable_effect",
    "power_factor",
    "seed_interval",
    "seeds_by_classes",
    "seeds_by_episodes",
    "sign_flip_p",
    "t_interval",
    "tost_p",
    "wilson_interval",
]

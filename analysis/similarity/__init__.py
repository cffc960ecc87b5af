"""Similarity of two encoders on the same rows: measures, declarations, nulls.

>>> sorted(name for name, measure in MEASURES.items() if measure.direction == "lower")
['centroid-shift', 'drift-change', 'procrustes']
"""

from .cca import canonical_correlations, pwcca, svcca
from .cka import biased_cka, cka, cka_matrix, minibatch_cka, rbf_cka
from .compare import Similarity, named, same_rows, similarity
from .drift import centroid_shift, centroid_shifts, drift_change, drift_cosine
from .measures import MEASURES
from .nulls import Null, with_null
from .overlap import mutual_knn
from .procrustes import procrustes
from .rsa import rsa
from .streamed import Products

__all__ = [
    "MEASURES",
    "Null",
    "Products",
    "Similarity",
    "biased_cka",
    "canonical_correlations",
    "centroid_shift",
    "centroid_shifts",
    "cka",
    "cka_matrix",
    "drift_change",
    "drift_cosine",
    "minibatch_cka",
    "mutual_knn",
    "named",
    "procrustes",
    "pwcca",
    "rbf_cka",
    "rsa",
    "same_rows",
    "similarity",
    "svcca",
    "with_null",
]

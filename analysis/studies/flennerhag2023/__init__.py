"""Optimistic meta-gradients (Flennerhag et al. 2023): when does learning the update rule pay?"""

from .optimise import optimise
from .page import run

__all__ = ["optimise", "run"]

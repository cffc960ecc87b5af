"""Why did features change? One file a question, all over the same hashed episodes.

Each section is a function of a `Context` that returns a `Section`: numbers with intervals, one
sentence computed from them, and a picture. What is expensive is computed once and kept.
"""

from .values import Line, Section

__all__ = ["Line", "Section"]

"""One family of errors: what came in cannot be used, and the sentence says why.

    MetaprobeError(ValueError)
    ├── DataError          a dataset, an episode request
    ├── StoreError         the embedding store
    ├── CheckpointError    a checkpoint, its head, its rates
    └── ProbeError         a probe or a measure asked for something undefined

Each carries a short machine-readable ``code`` beside its sentence. The command
line turns any of them into one line and exit status 2.
"""

from __future__ import annotations

import unicodedata


class MetaprobeError(ValueError):
    """What came in cannot be used.

    Args:
        message: One sentence: what came, what is allowed, what to do.
        code: A short stable word for programs, such as ``"k-too-large"``.
    """

    def __init__(self, message: str, *, code: str = "input") -> None:
        super().__init__(printable(message))
        self.code = code


def printable(text: str) -> str:
    r"""Text with every control sign spelt out, so that a terminal only prints it.

    Names of files, tensors and arrays come from strangers.

    >>> printable("a\x1b[2J\nb")
    'a\\x1b[2J\\nb'
    """
    return "".join(
        c if c.isprintable() or unicodedata.category(c) == "Zs" else ascii(c)[1:-1] for c in text
    )


class DataError(MetaprobeError):
    """A dataset or an episode request that cannot be met."""


class StoreError(MetaprobeError):
    """The embedding store cannot be read or written."""


class CheckpointError(MetaprobeError):
    """A checkpoint that cannot be trusted or understood."""


class ProbeError(MetaprobeError):
    """A probe or a measure that would be undefined on what was given."""

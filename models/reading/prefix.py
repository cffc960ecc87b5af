"""Prefixes that wrappers put before every name: found, shown, and taken off.

DataParallel writes ``module.``, `torch.compile` ``_orig_mod.``, learn2learn and Lightning the
attribute their network sits in. A prefix is taken off only when all names share it, and it is
recorded. Learned rates beside the network (``lrs.…``) do not count as names of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...data.errors import CheckpointError

WRAPPERS = (
    "module", "_orig_mod", "model", "backbone", "net", "network", "encoder", "learner", "classifier_net",
    "feature_extractor", "_forward_module", "base_model", "wrapped_model", "state_dict",
)  # fmt: skip
BESIDE = ("lrs.", "rates.", "log_lr", "inner_loop_optimizer.", "alpha.", "n_averaged")
"""Starts of names that belong to the rule, or to torch's `AveragedModel`, not to the network."""


@dataclass(frozen=True)
class Repair:
    """How names were changed.

    Args:
        prefix: What was taken off, such as ``"module._orig_mod."``; empty for nothing.
        names: Every name in the file, and what it became.
    """

    prefix: str
    names: Mapping[str, str]


def repair(names: Iterable[str], where: str) -> Repair:
    """Take off the wrappers' prefix that all names share.

    Args:
        names: Names of tensors.
        where: What to call the file in an error.

    Raises:
        CheckpointError: If two names would become one.

    >>> repair(["module.a.weight", "module.a.bias", "lrs.0"], "it").prefix
    'module.'
    """
    listed = list(names)
    body = [name for name in listed if not name.startswith(BESIDE)]
    prefix = ""
    while body:
        start = body[0][len(prefix) :].partition(".")[0]
        longer = f"{prefix}{start}."
        if start not in WRAPPERS or not all(name.startswith(longer) for name in body):
            break
        prefix = longer
    own = set(body)
    inside = {name: name.removeprefix(prefix) if name in own else name for name in listed}
    if len(set(inside.values())) != len(listed):
        twice = next(new for old, new in inside.items() if new != old and new in inside)
        raise CheckpointError(
            f"{where!r} holds both {prefix + twice!r} and {twice!r}, which would be one tensor "
            f"without the prefix {prefix!r}",
            code="prefix-collision",
        )
    return Repair(prefix, inside)

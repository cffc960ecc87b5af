"""Rates that learners keep beside the network, brought under the network's names.

learn2learn's Meta-SGD
    ``lrs.0``, ``lrs.1``, …: one tensor a parameter, in the order of `parameters()`.
MAML++
    ``inner_loop_optimizer.names_learning_rates_dict.layer_dict-conv0-conv-weight``: one vector
    a parameter, a rate for each step (and one more, which its code never reads and never trains:
    it is left aside).
pytorch-maml with a learned step size
    ``step_size.NAME``: one number a parameter.

A parameter without a rate, where others have one, was not adapted when the rates were learned:
it stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from ...data.errors import CheckpointError
from ..rules import Rule, RuleName

LRS = re.compile(r"(?:.*\.)?lrs\.(\d+)")
LSLR = re.compile(r"(?:.*\.)?names_learning_rates_dict\.(.+)")
STEP_SIZE = re.compile(r"step_size\.(.+)")
RATE_LIKE = re.compile(
    r"(?:.*[._])?(?:alphas?|names_\w+_dict|(?:task_|inner_|meta_)?lrs?"
    r"|(?:inner_)?(?:learning_rates?|step_sizes?))(?:[._].*)?"
)
"""Names that tensors have where they are rates."""


@dataclass(frozen=True, eq=False)
class FileRates:
    """Rates as a file has them.

    Args:
        rule: The rule they belong to.
        tensors: By the file's name of the parameter; by position where there are no names.
        said: Where they were found, in words.
        positional: Whether the keys of `tensors` are positions.
    """

    rule: RuleName
    tensors: Mapping[str, Tensor]
    said: str
    positional: bool = False


def split_rates(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], FileRates | None]:
    """The network's tensors, and the learned rates beside them.

    >>> import torch
    >>> split_rates({"w": torch.ones(2), "lrs.0": torch.ones(2)})[1].rule
    'meta-sgd'
    """
    network: dict[str, Tensor] = {}
    lrs: dict[str, Tensor] = {}
    steps: dict[str, Tensor] = {}
    sizes: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if match := LRS.fullmatch(name):
            lrs[str(int(match[1]))] = tensor
        elif match := LSLR.fullmatch(name):
            steps[match[1].replace("-", ".")] = tensor
        elif match := STEP_SIZE.fullmatch(name):
            sizes[match[1]] = tensor
        else:
            network[name] = tensor
    if lrs:
        return network, FileRates("meta-sgd", lrs, f"lrs.0 to lrs.{len(lrs) - 1}", positional=True)
    if steps:
        told = f"{len(steps)} vectors of names_learning_rates_dict"
        return network, FileRates("lslr-steps", steps, told)
    if sizes:
        return network, FileRates("lslr", sizes, f"{len(sizes)} step sizes")
    return network, None


def named_rates(
    found: FileRates,
    names: Mapping[str, str],
    params: Mapping[str, Tensor],
    order: tuple[str, ...],
    where: str,
) -> dict[str, Tensor]:
    """Rates by our names of parameters.

    Args:
        found: As the file has them.
        names: The file's name of each of our parameters.
        params: Our parameters, ``body.…`` and ``head.…``.
        order: Our names in the order the file's network lists its parameters.
        where: What to call the file in an error.

    Raises:
        CheckpointError: If a rate belongs to no parameter, or has another shape than it.
    """
    if found.positional:
        if len(order) != len(found.tensors):
            raise CheckpointError(
                f"{where!r} holds {len(found.tensors)} tensors of rates for "
                f"{len(order) or 'an unknown order of'} parameters; their order tells which belongs "
                "to which, so give the file that torch.save wrote",
                code="rates",
            )
        rates = {name: found.tensors[str(i)] for i, name in enumerate(order)}
    else:
        ours = {theirs: name for name, theirs in names.items()}
        rates = {}
        for theirs, rate in found.tensors.items():
            name = ours.get(theirs) or ours.get(f"classifier.{theirs}")
            if name is None:
                raise CheckpointError(
                    f"{where!r} holds a rate for {theirs!r}, which is no parameter of its network",
                    code="rates",
                )
            rates[name] = rate
    for name, rate in rates.items():
        fits = rate.shape == params[name].shape if found.rule == "meta-sgd" else rate.numel() > 0
        if not fits:
            raise CheckpointError(
                f"the rate of {name!r} in {where!r} has shape {tuple(rate.shape)} and the parameter "
                f"{tuple(params[name].shape)}; the rates are in another order than the parameters",
                code="rates",
            )
    if found.rule == "lslr-steps":
        return {n: r.float().flatten()[: max(1, r.numel() - 1)] for n, r in rates.items()}
    shape = (lambda n: params[n].shape) if found.rule == "meta-sgd" else (lambda n: ())
    return {n: r.float().reshape(shape(n)) for n, r in rates.items()}


def unread_rates(unexpected: Iterable[str]) -> tuple[str, ...]:
    """Of names that no network has, those that learned rates have in code that is not known here.

    >>> unread_rates(["task_lr.conv1.weight", "projector.weight"])
    ('task_lr.conv1.weight',)
    """
    return tuple(name for name in unexpected if RATE_LIKE.fullmatch(name))


def assumed_of_rule(rates: FileRates | None, rule: Rule, unexpected: Iterable[str]) -> list[str]:
    """What no tensor says of the inner loop, and what is taken unless the caller says otherwise."""
    unread = unread_rates(unexpected)
    said = []
    if unread:
        more = f" and {len(unread) - 1} more" if unread[1:] else ""
        said.append(
            f"{unread[0]!r}{more} may be learned rates, of a kind that is not read: they move nothing"
        )
    if rates is None:
        said.append(
            f"the file names no inner loop; where none is said it is sgd:lr={rule.lr:g} with "
            f"{rule.steps} steps"
        )
    elif rates.rule != "lslr-steps":
        said.append(f"the file names no number of inner steps; without --steps it is {rule.steps}")
    return said

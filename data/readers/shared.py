"""Classes that two splits share: a leak where the splits divide the classes, else worth a note.

mini-ImageNet, tiered-ImageNet, CIFAR-FS, FC100 and CUB's few-shot lists promise test classes that
no training saw. A class in two of their splits is a damaged or mixed-up copy, and an audit on it
would take remembering for adapting.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations

from ..errors import DataError
from .paths import SPLIT_NAMES, canonical


def refuse_shared(classes: Mapping[str, Collection[str]], where: str) -> None:
    """Refuse splits that share a class.

    Args:
        classes: Of each split; names that are none of a split (``trainval``) are passed over.
        where: What to call the data.

    Raises:
        DataError: Naming a class and its two splits.
    """
    order = [word for words in SPLIT_NAMES.values() for word in words]
    known = {word: set(classes[word]) for word in order if word in classes}
    for (one, its), (other, others) in combinations(known.items(), 2):
        both = sorted(its & others) if canonical(one) != canonical(other) else []
        if both:
            raise DataError(
                f"{where!r} has {len(both)} classes both in {one} and in {other}, such as "
                f"{both[0]!r}; its splits should divide the classes, so one of them is wrong",
                code="shared-class",
            )


def shared_note(mine: Collection[str], classes: Mapping[str, Collection[str]]) -> list[str]:
    """A sentence on each other split that has some of these classes.

    >>> shared_note(["a", "b"], {"train": ["a", "c"]})
    ["1 of 2 classes are in split 'train' too"]
    """
    return [
        f"{n} of {len(set(mine))} classes are in split {word!r} too"
        for word, names in classes.items()
        if (n := len(set(mine) & set(names)))
    ]

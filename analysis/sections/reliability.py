"""Are the learned rates a finding or a draw? Do runs agree on the sign of each?

Runs that share their first weights may agree value by value; runs of other first weights have
no reason to, for their channels have no common order. Chance is what the two runs' shares of
negative rates would give if the signs had nothing to do with each other.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ...models.encoder import Encoder
from ...probes.rows import Floats
from .context import Context
from .values import Line, Section
from .words import mean_interval

QUESTION = "Do runs agree on the signs of the learned rates?"


def run(context: Context) -> Section:
    """Agreement of signs between the given encoders, tensor by tensor."""
    own = context.found.measurement.encoder
    peers = [
        e for e in context.peers
        if e.rates and {n: r.shape for n, r in e.rates.items()}
        == {n: r.shape for n, r in own.rates.items()}
    ]  # fmt: skip
    if not own.rates or len(peers) < 2:
        why = (
            "This encoder has no learned rates."
            if not own.rates
            else "One run cannot tell: give several checkpoints of the same shape at once."
        )
        return Section(title="Reliability of the rates", question=QUESTION, finding=why,
                       episodes=0, lines=())  # fmt: skip
    pairs = list(combinations(peers, 2))
    together = [(a, b) for a, b in pairs if start_of(a) is not None and start_of(a) == start_of(b)]
    groups = {
        "one start": together,
        "other starts": [pair for pair in pairs if pair not in together],
    }
    ordered = [*own.params, *own.head]
    names = [n for n in ordered if n in own.rates and own.rates[n].numel() > 1]
    lines: list[Line] = []
    said: list[str] = []
    for group, which in groups.items():
        if not which:
            continue
        for name in names:
            excess = np.array([agreement(a, b, [name]) for a, b in which])
            lines.append(_line(group, name.removeprefix("body."), excess))
        lines.append(
            _line(group, "all rates", np.array([agreement(a, b, names) for a, b in which]))
        )
        said.append(_sentence(group, len(which), lines[-1]))
    return Section(
        title="Reliability of the rates",
        question=QUESTION,
        finding=" ".join([f"{len(peers)} runs were given.", *said]),
        notes=(
            "Runs of one start share their first weights and differ in the order of their tasks; "
            "the recipe in a checkpoint says so. Runs whose recipe is unknown count as of other "
            "starts, where channels have no common order.",
            "The interval is over pairs of runs, which are not independent of each other.",
        ),
        episodes=0,
        lines=tuple(lines),
    )


def start_of(encoder: Encoder) -> int | None:
    """Seed of the weights a run started from; None where no recipe says it."""
    recipe = encoder.checkpoint.metadata.get("recipe") if encoder.checkpoint else None
    if not isinstance(recipe, dict):
        return None
    seed = recipe.get("init_seed")
    found = recipe.get("seed") if seed is None else seed
    return found if isinstance(found, int) else None


def _sentence(group: str, pairs: int, line: Line) -> str:
    known = line.ci_low is not None and line.ci_high is not None
    size = f"{100 * (line.value or 0.0):+.2f} points"
    if known:
        size += f" ({100 * (line.ci_low or 0):+.2f} to {100 * (line.ci_high or 0):+.2f})"
    more = known and (line.ci_low or 0) > 0
    return (
        f"Between runs of {group} ({pairs} pair{'s' if pairs > 1 else ''}) signs agree {size} "
        f"beyond chance, {'more than' if more else 'not resolved from'} what unrelated signs would."
    ).replace("-", "−")


def agreement(a: Encoder, b: Encoder, names: list[str]) -> float:
    """Share of values with the same sign minus chance, which each tensor has of its own."""
    above, size = 0.0, 0
    for name in names:
        x, y = (e.rates[name].numpy().ravel() < 0 for e in (a, b))
        chance = x.mean() * y.mean() + (1 - x.mean()) * (1 - y.mean())
        above += len(x) * ((x == y).mean() - chance)
        size += len(x)
    return float(above / size)


def _line(group: str, label: str, excess: Floats) -> Line:
    value, low, high, n = mean_interval(excess)
    return Line(group=f"agreement of signs beyond chance · {group}", label=label, value=value,
                ci_low=low, ci_high=high, n=n)  # fmt: skip

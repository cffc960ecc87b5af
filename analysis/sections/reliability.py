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
    lines: list[Line] = []
    for name in own.rates:
        if own.rates[name].numel() < 2:
            continue
        excess = np.array([_excess(a, b, name) for a, b in pairs])
        lines.append(_line(name.removeprefix("body."), excess))
    whole = np.array([_excess(a, b, None) for a, b in pairs])
    lines.append(_line("all rates", whole))
    low = lines[-1].ci_low
    value = lines[-1].value or 0.0
    agree = low is not None and low > 0
    return Section(
        title="Reliability of the rates",
        question=QUESTION,
        finding=(
            f"Between {len(peers)} runs ({len(pairs)} pairs) signs agree "
            f"{100 * value:+.2f} points beyond chance, "
            f"{'more than' if agree else 'not resolved from'} what unrelated signs would."
        ).replace("-", "−"),
        notes=(
            "The runs are the checkpoints given together; whether they share their first weights "
            "is up to their recipes. Shipped checkpoints of different seeds do not.",
            "The interval is over pairs of runs, which are not independent of each other.",
        ),
        episodes=0,
        lines=tuple(lines),
    )


def _excess(a: Encoder, b: Encoder, name: str | None) -> float:
    """Share of values with the same sign, minus what chance would give."""
    names = list(a.rates) if name is None else [name]
    x, y = (np.concatenate([e.rates[n].numpy().ravel() < 0 for n in names]) for e in (a, b))
    chance = x.mean() * y.mean() + (1 - x.mean()) * (1 - y.mean())
    return float((x == y).mean() - chance)


def _line(label: str, excess: Floats) -> Line:
    value, low, high, n = mean_interval(excess)
    return Line(group="agreement of signs beyond chance", label=label, value=value, ci_low=low,
                ci_high=high, n=n)  # fmt: skip

"""A synthetic audit for tests: simulated correctness bits, real arithmetic, known truth.

Bits are drawn per episode from a common difficulty, adaptation flips some of them, and every
number in the audit follows from the bits, as in a real one.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from metaprobe.analysis.audit_parts import (
    Cells,
    Effect,
    Effects,
    Floors,
    Gate,
    HeadAccuracy,
    Histogram,
    Interval,
    PerEpisode,
    Phases,
    RateLayer,
    Rates,
    RateSummary,
    Reading,
    Share,
    Verdict,
)
from metaprobe.analysis.provenance import Checkpoint, Data, Environment, Episodes, RuleUsed, Run
from metaprobe.analysis.result import Audit, AuditSet, Contrast
from metaprobe.analysis.sections.values import Line, Section

SESOI = 0.0025
WAY, QUERY = 5, 15
Bits = NDArray[np.bool_]
NAMES = (
    "meta-sgd", "maml", "anil", "boil", "protonet", "meta-sgd-clamped", "maml-second-order",
    "a-checkpoint-with-a-rather-long-name-v2-final", "untrained", "supervised",
)  # fmt: skip


def verdict_of(value: float, low: float, high: float, low90: float, high90: float) -> Verdict:
    """The verdict rule, written out a second time."""
    if low > 0:
        return "RAISED" if value >= SESOI else "TRACE+"
    if high < 0:
        return "LOWERED" if value <= -SESOI else "TRACE−"
    return "NO MATERIAL CHANGE" if low90 > -SESOI and high90 < SESOI else "UNRESOLVED"


def make_effect(
    differences: NDArray[np.float64],
    flips: float | None,
    p_mcnemar: float | None,
    rng: np.random.Generator,
) -> Effect:
    """Everything about one paired difference (E,)."""
    n, value, sd = len(differences), float(differences.mean()), float(differences.std(ddof=1))
    se = sd / np.sqrt(n)
    draws = differences[rng.integers(0, n, (500, n))].mean(1)
    t95, t90 = float(stats.t.ppf(0.975, n - 1)), float(stats.t.ppf(0.95, n - 1))
    low, high = value - t95 * se, value + t95 * se
    low90, high90 = value - t90 * se, value + t90 * se
    signed = (differences * rng.choice([-1.0, 1.0], (499, n))).mean(1)
    verdict = verdict_of(value, low, high, low90, high90)
    return Effect(
        value=value, ci_low=low, ci_high=high, ci_method="paired t over episodes", n=n,
        flip_rate=flips, verdict=verdict, sd=sd, mde=2.8 * se, ci90_low=low90, ci90_high=high90,
        t_low=low, t_high=high, bca_low=float(np.quantile(draws, 0.025)),
        bca_high=float(np.quantile(draws, 0.975)),
        p_sign_flip=float((1 + (abs(signed) >= abs(value)).sum()) / 500),
        p_mcnemar=p_mcnemar, sentence=f"{verdict}: {100 * value:+.2f} points over {n} episodes.",
    )  # fmt: skip


def make_share(bits: Bits) -> Share:
    """Accuracy over episodes (E, Q) with a t interval, kept within [0, 1]."""
    each = bits.mean(1)
    half = 1.96 * float(each.std(ddof=1)) / np.sqrt(len(each))
    value = float(each.mean())
    return Share(
        value=value, ci_low=max(0.0, value - half), ci_high=min(1.0, value + half), n=len(each)
    )


def make_reading(
    base: float, on: float, off: float, churn: float, episodes: int, rng: np.random.Generator
) -> tuple[Reading, PerEpisode]:
    """Simulates the four cells; ``on`` and ``off`` are the planted effects, as shares."""

    def pair(effect: float) -> tuple[Bits, Bits]:
        level = np.clip(rng.normal(base, 0.07, (episodes, 1)), 0.02, 0.98)
        before = rng.random((episodes, WAY * QUERY)) < level
        gain, loss = (churn + max(effect, 0)) / (1 - base), (churn - min(effect, 0)) / base
        chance = rng.random(before.shape)
        return before, np.where(before, chance >= loss, chance < gain)

    on_bits, off_bits = pair(on), pair(off)
    d_on, d_off = (b.mean(1) - a.mean(1) for a, b in (on_bits, off_bits))

    def effect(a: Bits, b: Bits, d: NDArray[np.float64]) -> Effect:
        up, down = int((b & ~a).sum()), int((a & ~b).sum())
        p = float(stats.binomtest(up, up + down).pvalue) if up + down else 1.0
        return make_effect(d, float((a ^ b).mean()), p, rng)

    cells = Cells(
        init_on=make_share(on_bits[0]), adapted_on=make_share(on_bits[1]),
        init_off=make_share(off_bits[0]), adapted_off=make_share(off_bits[1]),
    )  # fmt: skip
    effects = Effects(
        on=effect(*on_bits, d_on), off=effect(*off_bits, d_off),
        interaction=make_effect(d_off - d_on, None, None, rng),
    )  # fmt: skip
    reading = Reading(cells=cells, phases=Phases.of(cells), effects=effects)
    return reading, PerEpisode(on=tuple(d_on.tolist()), off=tuple(d_off.tolist()))


def make_rates(rng: np.random.Generator, scale: float = 1.0) -> Rates:
    """Five layers of learned rates, wide and mostly negative, plus one dead bias."""
    layers, everything = [], []
    table = (
        ("body.conv1.weight", -0.006, 0.032, 1728), ("body.conv2.weight", -0.004, 0.027, 36864),
        ("body.conv3.weight", -0.013, 0.027, 36864), ("body.conv4.weight", -0.018, 0.030, 36864),
        ("head.weight", 0.043, 0.072, 8000),
    )  # fmt: skip
    for name, mean, sd, size in table:
        rates = rng.normal(scale * mean, sd, size)
        counts, edges = np.histogram(rates, bins=60)
        everything.append(rates)
        layers.append(
            RateLayer(
                name=name, mean=float(rates.mean()), sd=float(rates.std()), dead=0, size=size,
                share_negative=float((rates < 0).mean()), cosine=-0.31,
                g2_weighted_share_negative=float((rates < 0).mean()) * 0.9,
                first_order_change=0.0021,
                histogram=Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist())),
            )
        )  # fmt: skip
    dead = RateLayer(
        name="body.conv1.bias", mean=None, sd=None, share_negative=None, dead=64, size=64,
        g2_weighted_share_negative=None, first_order_change=None, cosine=None,
    )  # fmt: skip
    layers.insert(1, dead)
    rates = np.concatenate(everything)
    overall = RateSummary(
        mean=float(rates.mean()), sd=float(rates.std()), dead=64, size=len(rates) + 64,
        share_negative=float((rates < 0).mean()), g2_weighted_share_negative=0.6,
        first_order_change=0.011, cosine=-0.27,
    )  # fmt: skip
    return Rates(layers=tuple(layers), overall=overall)


def make_audit(
    name: str = "meta-sgd", *, base: float = 0.84, on: float = 0.012, off: float = 0.0,
    churn: float = 0.01, episodes: int = 600, seed: int = 0, rates: bool = True,
    fresh: bool = True,
) -> Audit:  # fmt: skip
    """An audit whose planted effects are ``on`` and ``off``."""
    rng = np.random.default_rng(seed)
    reading, per_episode = make_reading(base, on, off, churn, episodes, rng)
    other, _ = make_reading(base - 0.01, on / 2, off, churn, episodes, rng)
    cells = reading.cells
    return Audit(
        created=datetime(2026, 3, 1, 12, 0, tzinfo=UTC), version="0.1.0",
        checkpoint=Checkpoint(
            name=name, path=f"checkpoints/{name}.safetensors",
            sha256=f"{seed + 17:064x}", format="metaprobe", architecture="conv4-64",
            embedding_dim=1600, head="head", load_report={"loaded": 18, "missing": []},
            strip_report={"removed": ["head.weight", "head.bias"]},
        ),
        data=Data(name="glyphs", fingerprint="f" * 64, split="test", classes=40, images=800),
        episodes=Episodes(n=episodes, way=WAY, shot=1, query=QUERY, seed=0, sha256="e" * 64),
        rule=RuleUsed(name="meta-sgd" if rates else "sgd", steps=5, adapts="all", norm="batch"),
        gallery="fresh" if fresh else "support", sesoi=SESOI,
        cells=cells, phases=reading.phases, effects=reading.effects,
        floors=Floors(
            untrained=Interval(value=0.452, ci_low=0.445, ci_high=0.459),
            pixels=Interval(value=0.391, ci_low=0.384, ci_high=0.398),
            shuffled_labels=Interval(value=0.201, ci_low=0.196, ci_high=0.206),
        ),
        head_accuracy=HeadAccuracy(
            init=Share(value=0.2, ci_low=0.196, ci_high=0.204, n=episodes),
            adapted=Share(value=0.861, ci_low=0.854, ci_high=0.868, n=episodes),
        ),
        other_gallery=other, rates=make_rates(rng) if rates else None, per_episode=per_episode,
        environment=Environment(
            python="3.11.7", torch="2.13.0", faiss="1.15.0", device="cpu", threads=1, git=None
        ),
        run=Run(
            command=f"metaprobe audit checkpoints/{name}.safetensors --episodes {episodes}",
            wall_seconds=41.2, forward_passes=4 * episodes, cached_entries=0,
        ),
    )  # fmt: skip


def make_set(n: int = 2, episodes: int = 600) -> AuditSet:
    """``n`` checkpoints with effects of every kind, and one contrast where there are two."""
    effects = [
        (0.012, 0.0), (-0.003, -0.012), (0.0, 0.0), (0.02, 0.006), (0.0015, -0.0015),
        (0.004, -0.03), (-0.02, 0.002), (0.03, 0.03), (0.001, 0.001), (0.0, -0.001),
    ]  # fmt: skip
    audits = tuple(
        make_audit(
            NAMES[i], base=0.84 - 0.02 * i, on=on, off=off, seed=i, episodes=episodes,
            rates=i % 3 == 0,
        )
        for i, (on, off) in enumerate(effects[:n])
    )  # fmt: skip
    contrasts: tuple[Contrast, ...] = ()
    if n > 1:
        a, b = audits[0].effects.off, audits[1].effects.off
        value, half = a.value - b.value, 1.96 * float(np.hypot(a.sd, b.sd)) / np.sqrt(episodes)
        contrasts = (
            Contrast(
                a=NAMES[0], b=NAMES[1], quantity="off", value=value, ci_low=value - half,
                ci_high=value + half, p=0.0004, p_holm=0.0012,
                verdict=verdict_of(value, value - half, value + half, value - half, value + half),
            ),
        )  # fmt: skip
    return AuditSet(audits=audits, contrasts=contrasts)


def make_section(title: str = "Layers") -> Section:
    """A section of one curve and one block of rows, with every verdict a line may have."""
    curve = [
        Line(group="on-task", label=f"block {x}", x=x, value=0.01 * x, ci_low=0.01 * x - 0.005,
             ci_high=0.01 * x + 0.005, n=40)
        for x in range(4)
    ]  # fmt: skip
    ends: list[tuple[str, float, Verdict]] = [
        ("near", -0.02, "LOWERED"), ("far", 0.001, "UNRESOLVED"),
    ]  # fmt: skip
    rows = [
        Line(group="off-task by script", label=label, value=value, ci_low=value - 0.01,
             ci_high=value + 0.01, verdict=verdict, n=40)
        for label, value, verdict in ends
    ]  # fmt: skip
    return Section(
        title=title, question="Where?", finding="There.", notes=("A note.",), episodes=40,
        axis="layer", lines=(*curve, *rows),
    )  # fmt: skip


def make_gates(*checkpoints: str) -> tuple[Gate, ...]:
    """A condition that held and one that did not, for each checkpoint."""
    return tuple(
        Gate(checkpoint=name, gate=text, passed=passed, sentence=f"{text} ({values})")
        for name in checkpoints
        for text, passed, values in (
            ("off.value < -0.5", True, "off.value is -0.01"),
            ("episodes.n < 99", False, "episodes.n is 60"),
        )
    )


def with_verdicts(on: Verdict, off: Verdict, interaction: Verdict) -> Effects:
    """Effects whose intervals deserve the given verdicts."""
    return Effects(on=planted(on), off=planted(off), interaction=planted(interaction))


def planted(verdict: Verdict) -> Effect:
    """An effect with the given verdict, by construction of its intervals."""
    value, half = {
        "RAISED": (0.012, 0.004), "LOWERED": (-0.012, 0.004), "TRACE+": (0.002, 0.001),
        "TRACE−": (-0.002, 0.001), "NO MATERIAL CHANGE": (0.0003, 0.0011),
        "UNRESOLVED": (0.001, 0.008),
    }[verdict]  # fmt: skip
    low, high, low90, high90 = value - half, value + half, value - 0.84 * half, value + 0.84 * half
    assert verdict_of(value, low, high, low90, high90) == verdict
    return Effect(
        value=value, ci_low=low, ci_high=high, ci_method="planted", n=600, flip_rate=0.02,
        verdict=verdict, sd=0.02, mde=0.002, ci90_low=low90, ci90_high=high90, t_low=low,
        t_high=high, bca_low=low, bca_high=high, p_sign_flip=0.5, p_mcnemar=0.5, sentence=".",
    )  # fmt: skip

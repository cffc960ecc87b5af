"""Starshak (2022): do negative inner-loop rates learn universal features?

The study's probe, paired: cosine 1-NN with the support as gallery, five inner
steps, MAML beside Meta-SGD, here over several training seeds of each on glyphs
whose scripts were never trained on. Claims C1–C3 are about the learned rates,
C4–C10 about the three phases, C11 and C12 about causes, by intervention; each
is decided by a rule fixed beforehand, over seeds and episodes together, and may
come out against the paper.

The paper measured one model of each kind on mini-ImageNet, without intervals:
its figures were read off a plot (Fig. 7, ±0.002 points) or its Table 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ...data.errors import MetaprobeError
from ...data.store import Store
from ...models.checkpoint import shipped
from ...models.encoder import load_encoder
from ..audit import AuditSettings, audit_each
from ..interventions import intervene, restricted, without_negative
from ..result import Audit
from ..statistics import Interval, seeds_by_episodes, t_interval
from ..verdicts import METHOD_SEEDS, SESOI, Expectation, Limb, conjunction, verdict
from .study import Claim, Settings, Study
from .study import Verdict as Outcome

EPISODES = 600
QUICK_EPISODES = 60
QUICK_SEEDS = 2
BODY = ("block1", "block2", "block3", "block4")
REUSE_MARGIN = 0.01
"""C4: features are reused when head-free and adapted accuracy agree within one point."""

Status = Literal["read", "digitised"]


def run(
    settings: Settings,
    *,
    store: Store | None = None,
    jobs: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Study:
    """Re-run the study on the shipped checkpoints.

    Args:
        settings: Quick takes two seeds and fewer episodes.
        store: Where embeddings are kept.
        jobs: Blocks of episodes side by side.
        progress: Told of every block.

    Raises:
        MetaprobeError: If the checkpoints of either learner are not shipped.
    """
    names = list(shipped())
    maml = [n for n in names if n.startswith("maml-glyphs-s")]
    meta_sgd = [n for n in names if n.startswith("meta-sgd-glyphs-s")]
    if not maml or len(maml) != len(meta_sgd):
        raise MetaprobeError(
            f"{len(maml)} MAML and {len(meta_sgd)} Meta-SGD checkpoints are shipped; the study "
            "needs as many of one as of the other",
            code="no-checkpoint",
        )
    if settings.quick:
        maml, meta_sgd = maml[:QUICK_SEEDS], meta_sgd[:QUICK_SEEDS]
    asked = AuditSettings(
        episodes=QUICK_EPISODES if settings.quick else EPISODES, seed=settings.seed
    )
    trained = [load_encoder(name) for name in (*maml, *meta_sgd)]
    first, second = trained[: len(maml)], trained[len(maml) :]
    variants = {
        "clamped": [intervene(e, without_negative, "no negative rates") for e in second],
        "body": [restricted(e, "body") for e in first],
    }
    every = [*trained, *(e for group in variants.values() for e in group)]
    audits, _ = audit_each(every, asked, store=store, jobs=jobs, progress=progress)
    runs = len(maml)
    return conclude(*(audits[i : i + runs] for i in range(0, len(every), runs)))


def conclude(
    maml: Sequence[Audit],
    meta_sgd: Sequence[Audit],
    clamped: Sequence[Audit],
    body_only: Sequence[Audit],
) -> Study:
    """The ledger, from audits on the same episodes.

    Args:
        maml: Runs of MAML.
        meta_sgd: Runs of Meta-SGD.
        clamped: The same Meta-SGD runs, with negative rates set to zero.
        body_only: The MAML runs, adapting the body alone.
    """
    claims = (
        *rate_claims(meta_sgd),
        reuse_claim(maml, meta_sgd),
        *effect_claims(maml, meta_sgd),
        cause_claim(meta_sgd, clamped),
        head_claim(maml, body_only),
    )
    said = {
        outcome: sum(c.verdict == outcome for c in claims) for outcome in ("SUPPORTED", "REFUTED")
    }
    return Study(
        name="starshak2022",
        title="Negative Inner-Loop Learning Rates Learn Universal Features",
        citation="Tom Starshak (2022), arXiv:2203.10185",
        question=(
            "When an encoder adapts to one task, do its features get better or worse on that task "
            "and on others, and do learned negative rates (Meta-SGD) change the answer?"
        ),
        answer=(
            f"Of {len(claims)} claims, {said['SUPPORTED']} are supported and {said['REFUTED']} "
            f"refuted on {len(maml)} training runs of each learner, "
            f"{maml[0].episodes.n} paired episodes of scripts never trained on. This speaks of "
            "small encoders on glyphs, with rates that start at +0.1, not of mini-ImageNet."
        ),
        meaning=(
            "Read the off-task effect beside its own baseline on the same tasks, with the gallery "
            "named: one model and one unpaired accuracy cannot carry effects of this size."
        ),
        claims=claims,
        tables={"phases": phase_table(maml, meta_sgd), "rates": rate_table(meta_sgd)},
        figures={"phases": phase_figure(maml, meta_sgd)},
        captions={
            "phases": (
                "Change of nearest-neighbour accuracy after five inner steps, on the task adapted "
                "to and on another; small marks are training runs, large ones their mean with a "
                "95 % interval over runs and episodes."
            )
        },
    )


def rate_claims(audits: Sequence[Audit]) -> tuple[Claim, Claim, Claim]:
    """C1–C3: the learned rates."""
    means = np.array([[_block_rates(a, part)[0] for part in (*BODY, "head")] for a in audits])
    shares = np.array([[_block_rates(a, part)[1] for part in BODY] for a in audits])
    overall = np.array([_overall_share(a) for a in audits])
    most = max(1, len(audits) - 1)
    body_down = bool(((means[:, :4] < 0).sum(axis=0) >= most).all())
    body_up = bool(((means[:, :4] > 0).sum(axis=0) >= most).all())
    head_up = bool((means[:, 4] > 0).sum() >= most)
    few = len(audits) < METHOD_SEEDS
    middle = Interval(*_over_seeds(overall))
    depth = np.array([spearmanr(range(4), s).statistic if np.ptp(s) else 0.0 for s in shares])
    slope = Interval(*np.clip(_over_seeds(depth), -1.0, 1.0))
    layers = ", ".join(
        f"{n} {m:+.4f}" for n, m in zip((*BODY, "head"), means.mean(axis=0), strict=True)
    )
    return (
        Claim(
            "C1",
            "Meta-SGD's mean learned rate is negative in every block of the body and positive in "
            "the head.",
            "Table 1",
            "conv1 −0.006, conv2 −0.004, conv3 −0.013, conv4 −0.018, head +0.043",
            "read",
            f"mean over runs: {layers}",
            "SUPPORTED if every block's mean has the stated sign in all runs but at most one; "
            f"REFUTED if every block of the body is positive instead; fewer than {METHOD_SEEDS} "
            "runs: NOT SHOWN",
            "NOT SHOWN"
            if few
            else "SUPPORTED"
            if body_down and head_up
            else "REFUTED"
            if body_up
            else "NOT SHOWN",
            note="Rates start at +0.1 here; the paper does not state its start.",
        ),
        Claim(
            "C2",
            "Most of Meta-SGD's learned rates are negative.",
            "§5.2",
            "most (about 64 % by integrating the density plot)",
            "digitised",
            f"{100 * overall.mean():.1f} % of the live rates",
            "SUPPORTED if the interval over runs lies above one half, REFUTED if below",
            _side(middle, 0.5, few),
            float(overall.mean()),
            (middle.low, middle.high),
            note="Dead rates (no gradient reaches them) are left out.",
        ),
        Claim(
            "C3",
            "Negative rates become more frequent with depth in the body.",
            "implied by Table 1",
            "ordered, but for conv1 and conv2",
            "digitised",
            f"rank correlation of depth and share, mean over runs {depth.mean():+.2f}",
            "SUPPORTED if the interval over runs lies above 0, REFUTED if below",
            _side(slope, 0.0, few),
            float(depth.mean()),
            (slope.low, slope.high),
        ),
    )


def reuse_claim(maml: Sequence[Audit], meta_sgd: Sequence[Audit]) -> Claim:
    """C4: is the head-free meta-init as good as adapting and classifying?"""
    gaps = np.array(
        [
            a.cells.init_on.value - a.head_accuracy.adapted.value
            for a in (*maml, *meta_sgd)
            if a.head_accuracy is not None
        ]
    )
    low, high = _over_seeds(gaps)
    low90, high90 = _over_seeds(gaps, 0.90)
    outcome: Outcome = "NOT SHOWN"
    if len(maml) >= METHOD_SEEDS:
        if low90 > -REUSE_MARGIN and high90 < REUSE_MARGIN:
            outcome = "SUPPORTED"
        elif low > REUSE_MARGIN or high < -REUSE_MARGIN:
            outcome = "REFUTED"
    return Claim(
        "C4",
        "The probe at meta-init, without head or adaptation, matches adapting and classifying "
        "(features are reused).",
        "§5.1, §5.3",
        "47.15 against about 46 (MAML), 47.57 against about 47 (Meta-SGD)",
        "read",
        f"meta-init minus adapted head {100 * gaps.mean():+.2f} points",
        "SUPPORTED if the 90 % interval over runs lies within ±1 point, REFUTED if the 95 % "
        "interval lies outside",
        outcome,
        *_in_points(float(gaps.mean()), low, high),
        note="Both accuracies are of the same queries of the same episodes.",
        unit="points",
    )


def effect_claims(maml: Sequence[Audit], meta_sgd: Sequence[Audit]) -> tuple[Claim, ...]:
    """C5–C10: the phases."""
    on_maml, off_maml = _differences(maml, "on"), _differences(maml, "off")
    on_sgd, off_sgd = _differences(meta_sgd, "on"), _differences(meta_sgd, "off")
    return (
        _effect_claim(
            "C5",
            "MAML: adapting to a task raises the features' accuracy on it.",
            "abstract (contradicted by §5.3 and Fig. 7)",
            "−0.05 points",
            on_maml,
            "RAISED",
            "The abstract says raised, the paper's own figure lowered.",
        ),
        _effect_claim(
            "C6",
            "Meta-SGD: adapting to a task lowers the features' accuracy on it.",
            "§5.3, Fig. 7",
            "−0.05 points",
            on_sgd,
            "LOWERED",
        ),
        _effect_claim(
            "C7",
            "MAML: adapting to a task lowers accuracy on another.",
            "§5.3, Fig. 7",
            "−0.22 points",
            off_maml,
            "LOWERED",
        ),
        _effect_claim(
            "C8",
            "Meta-SGD: adapting to a task raises accuracy on another.",
            "§5.3, Fig. 7",
            "+0.02 points",
            off_sgd,
            "RAISED",
        ),
        _effect_claim(
            "C9",
            "The change from on-task to off-task is more positive for Meta-SGD than for MAML.",
            "§5.3, Fig. 7",
            "+0.24 points (p = 0.00044)",
            (off_sgd - on_sgd) - (off_maml - on_maml),
            "RAISED",
            "Runs are paired by seed; both learners saw the same episodes.",
        ),
        _meta_init_claim(maml, meta_sgd),
    )


def cause_claim(meta_sgd: Sequence[Audit], clamped: Sequence[Audit]) -> Claim:
    """C11: does the off-task effect need the negative rates?"""
    return _effect_claim(
        "C11",
        "Negative rates cause Meta-SGD's off-task gain: without them the off-task effect is lower.",
        "title and §6; the paper reports no intervention",
        None,
        _differences(meta_sgd, "off") - _differences(clamped, "off"),
        "RAISED",
        "Measured: off-task effect with the learned rates minus that with negative rates set to "
        "zero at test time, on the same episodes. RAISED means that they help.",
    )


def head_claim(maml: Sequence[Audit], body_only: Sequence[Audit]) -> Claim:
    """C12: is the on-task change of the probe an artefact of the head's removal?"""
    whole, frozen = _differences(maml, "on"), _differences(body_only, "on")
    return _effect_claim(
        "C12",
        "MAML's on-task drop is due to removing the head: with the head frozen, adaptation serves "
        "the features more.",
        "§5.3, a conjecture",
        None,
        frozen - whole,
        "RAISED",
        "Measured: on-task effect with the head frozen minus that with everything moving. Adapting "
        "the head alone cannot move the features. There is a drop to explain only if C5 is "
        "refuted.",
    )


def _effect_claim(
    id: str,
    statement: str,
    source: str,
    published: str | None,
    differences: NDArray[np.float64],
    expected: Expectation,
    note: str = "",
) -> Claim:
    """A claim about paired differences ``(S, E)``."""
    estimate = seeds_by_episodes(differences)
    ci, ci90 = estimate.interval(0.95), estimate.interval(0.90)
    word = verdict(estimate.value, ci, ci90, SESOI)
    limb = Limb(word, expected, tuple(map(float, differences.mean(axis=1))))
    return Claim(
        id,
        statement,
        source,
        published,
        "digitised" if published else "not obtainable",
        f"{100 * estimate.value:+.2f} points: {word}; runs "
        + ", ".join(f"{100 * v:+.2f}" for v in limb.by_seed),
        f"SUPPORTED if {expected} over runs and episodes with its sign in all runs but at most "
        f"one, REFUTED if the opposite; smallest effect of interest {100 * SESOI:g} points; "
        f"fewer than {METHOD_SEEDS} runs: NOT SHOWN",
        conjunction([limb], minimum_seeds=METHOD_SEEDS),
        *_in_points(estimate.value, ci.low, ci.high),
        note=note,
        unit="points",
    )


def _meta_init_claim(maml: Sequence[Audit], meta_sgd: Sequence[Audit]) -> Claim:
    """C10: one number a run, so the unit is the run."""
    gaps = np.array(
        [b.cells.init_on.value - a.cells.init_on.value for a, b in zip(maml, meta_sgd, strict=True)]
    )
    ci, ci90 = Interval(*_over_seeds(gaps)), Interval(*_over_seeds(gaps, 0.90))
    word = verdict(float(gaps.mean()), ci, ci90, SESOI)
    limb = Limb(word, "RAISED", tuple(map(float, gaps)))
    return Claim(
        "C10",
        "Meta-SGD's features at meta-init are better than MAML's.",
        "Fig. 7",
        "47.57 against 47.15 %, +0.42 points",
        "digitised",
        f"{100 * gaps.mean():+.2f} points: {word}; runs "
        + ", ".join(f"{100 * g:+.2f}" for g in gaps),
        "as C5, over runs",
        conjunction([limb], minimum_seeds=METHOD_SEEDS),
        *_in_points(float(gaps.mean()), ci.low, ci.high),
        unit="points",
    )


def phase_table(maml: Sequence[Audit], meta_sgd: Sequence[Audit]) -> pd.DataFrame:
    """The four cells and three effects of every run, shares."""
    rows = []
    for learner, audits in (("MAML", maml), ("Meta-SGD", meta_sgd)):
        for a in audits:
            cells = {name: cell.value for name, cell in a.cells}
            told = {f"{name} effect": effect.value for name, effect in a.effects}
            head = a.head_accuracy.adapted.value if a.head_accuracy else np.nan
            rows.append(
                {"learner": learner, "checkpoint": a.checkpoint.name, **cells, **told, "head": head}
            )
    return pd.DataFrame(rows)


def rate_table(audits: Sequence[Audit]) -> pd.DataFrame:
    """Mean, spread and share of negative live rates by block, over runs."""
    rows = []
    for part in (*BODY, "head"):
        found = np.array([_block_rates(a, part) for a in audits])
        rows.append(
            {
                "part": part,
                "mean": found[:, 0].mean(),
                "lowest run": found[:, 0].min(),
                "highest run": found[:, 0].max(),
                "share negative": found[:, 1].mean(),
            }
        )
    return pd.DataFrame(rows)


def phase_figure(maml: Sequence[Audit], meta_sgd: Sequence[Audit]) -> Figure:
    """On- and off-task effects of every run, and their means with intervals."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    colours = {"MAML": "#0072B2", "Meta-SGD": "#D55E00"}
    marks = {"MAML": "o", "Meta-SGD": "s"}
    for i, (learner, audits) in enumerate((("MAML", maml), ("Meta-SGD", meta_sgd))):
        for j, which in enumerate(("on", "off")):
            table = 100 * _differences(audits, which)
            estimate = seeds_by_episodes(table)
            ci = estimate.interval(0.95)
            y = -(3 * j + i)
            axes.plot(
                table.mean(axis=1), np.full(len(table), y - 0.22), marks[learner],
                color=colours[learner], alpha=0.45, markersize=4, markeredgewidth=0,
            )  # fmt: skip
            axes.errorbar(
                estimate.value, y, xerr=[[estimate.value - ci.low], [ci.high - estimate.value]],
                fmt=marks[learner], color=colours[learner], markersize=8, capsize=4, linewidth=2,
                label=learner if j == 0 else None,
            )  # fmt: skip
    axes.axvline(0, color="0.3", linewidth=1)
    axes.axvspan(-100 * SESOI, 100 * SESOI, color="0.9", zorder=0)
    axes.set_yticks([-0.5, -3.5], ["on the task\nadapted to", "on another\ntask"])
    axes.set_ylim(-4.9, 0.7)
    axes.set_xlabel("change of nearest-neighbour accuracy, points")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(frameon=False, loc="best")
    return figure


def _differences(audits: Sequence[Audit], which: Literal["on", "off"] | str) -> NDArray[np.float64]:
    """Paired differences of every run, ``(S, E)``."""
    return np.array([getattr(a.per_episode, which) for a in audits])


def _block_rates(audit: Audit, part: str) -> tuple[float, float]:
    """Mean and share of negative values over the live rates of a block or the head."""
    assert audit.rates is not None
    layers = [x for x in audit.rates.layers if x.name.startswith(part + ".") and x.mean is not None]
    live = np.array([x.size - x.dead for x in layers], dtype=float)
    means = np.array([x.mean for x in layers], dtype=float)
    shares = np.array([x.share_negative for x in layers], dtype=float)
    return float(live @ means / live.sum()), float(live @ shares / live.sum())


def _overall_share(audit: Audit) -> float:
    assert audit.rates is not None
    return float(audit.rates.overall.share_negative or 0.0)


def _over_seeds(values: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """t interval over training runs; no width where all agree."""
    interval = t_interval(values, level)
    return interval.low, interval.high


def _in_points(value: float, low: float, high: float) -> tuple[float, tuple[float, float]]:
    """An estimate and its interval, shares to percentage points."""
    return 100 * value, (100 * low, 100 * high)


def _side(interval: Interval, middle: float, few: bool) -> Outcome:
    if few:
        return "NOT SHOWN"
    return (
        "SUPPORTED"
        if interval.low > middle
        else "REFUTED"
        if interval.high < middle
        else "NOT SHOWN"
    )

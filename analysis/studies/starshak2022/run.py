"""The audits of the shipped checkpoints, and the ledger that follows from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ....data.errors import MetaprobeError
from ....data.store import Store
from ....models.checkpoint import shipped
from ....models.encoder import load_encoder
from ...audit import AuditSettings, audit_each
from ...interventions import intervene, restricted, without_negative
from ...measured import Measured
from ...readings import apart
from ...result import Audit
from ..study import Settings, Study
from .claims_effects import cause_claim, effect_claims, head_claim, meta_init_claim, reuse_claim
from .claims_rates import rate_claims
from .evidence import Changes, changes, changes_of
from .figures import gallery_table, phase_figure, phase_table, rate_table

EPISODES = 600
QUICK_EPISODES = 60
QUICK_SEEDS = 2


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
    audits, measured = audit_each(every, asked, store=store, jobs=jobs, progress=progress)
    runs = len(maml)
    fresh = [_fresh(measured[i : i + runs]) for i in (0, runs)]
    return conclude(
        *(audits[i : i + runs] for i in range(0, len(every), runs)), fresh=(fresh[0], fresh[1])
    )


def _fresh(measured: Sequence[Measured]) -> Changes:
    """The changes with fresh images as the gallery."""
    episodes = measured[0].measurement.episodes
    cells = [{str(name): bits for name, bits in m.cells["fresh"].items()} for m in measured]
    return changes_of(cells, episodes.on.classes, apart(episodes))


def conclude(
    maml: Sequence[Audit],
    meta_sgd: Sequence[Audit],
    clamped: Sequence[Audit],
    body_only: Sequence[Audit],
    *,
    fresh: tuple[Changes, Changes],
) -> Study:
    """The ledger, from audits on the same episodes.

    Args:
        maml: Runs of MAML.
        meta_sgd: Runs of Meta-SGD.
        clamped: The same Meta-SGD runs, with negative rates set to zero.
        body_only: The MAML runs, adapting the body alone.
        fresh: The changes of MAML and Meta-SGD with fresh images as the gallery.
    """
    of_maml, of_sgd = changes(maml), changes(meta_sgd)
    effects = effect_claims(of_maml, of_sgd)
    claims = (
        *rate_claims(meta_sgd),
        reuse_claim(maml, meta_sgd),
        *effects,
        meta_init_claim(maml, meta_sgd),
        cause_claim(of_sgd, changes(clamped)),
        head_claim(of_maml, changes(body_only)),
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
        tables={
            "galleries": gallery_table(effects, effect_claims(*fresh)),
            "phases": phase_table(maml, meta_sgd),
            "rates": rate_table(meta_sgd),
        },
        figures={"phases": phase_figure(of_maml, of_sgd)},
        captions={
            "phases": (
                "Change of nearest-neighbour accuracy after five inner steps, on the task adapted "
                "to and on another; small marks are training runs, large ones their mean with a "
                "95 % interval over runs, classes and episodes."
            )
        },
    )

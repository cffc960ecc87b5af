"""Collins 2022 on glyphs: tasks are what they are called, and accuracies are the audit's own."""

from __future__ import annotations

import numpy as np
import pytest

from metaprobe.analysis.studies.collins2022.glyph_claims import (
    by_family,
    family_table,
    glyph_claims,
    hardness_table,
)
from metaprobe.analysis.studies.collins2022.glyph_tasks import (
    NAL,
    QUERY,
    SHOT,
    WAY,
    GlyphRun,
    ScriptTasks,
    accuracy_after,
    draw_script_tasks,
    glyph_rates,
    scripts_of,
    unseen_scripts,
)
from metaprobe.analysis.studies.collins2022.hardness import HeadRates, split_by_rate
from metaprobe.analysis.studies.collins2022.images import script_rates
from metaprobe.analysis.studies.collins2022.setting import LandscapeError
from metaprobe.data.episodes import EpisodeList, Tasks
from metaprobe.data.images import LabelledImages
from metaprobe.data.synthetic import planted_images
from metaprobe.models.encoder import load_encoder
from metaprobe.models.heads import HeadStart
from metaprobe.probes.embed import embed
from metaprobe.probes.extract import compute
from metaprobe.probes.measurement import Measurement


def grouped(scripts: int) -> LabelledImages:
    return planted_images(classes=6 * scripts, groups=scripts)


def test_a_task_of_one_script_has_one_and_a_mixed_task_five_of_the_others() -> None:
    data = grouped(7)
    scripts = scripts_of(data)
    group = np.array(data.groups)[data.labels]
    same, mixed = draw_script_tasks(data, each=4, seed=0)
    assert same.rows.shape == mixed.rows.shape == (28, WAY, 20)
    for tasks in (same, mixed):
        assert np.bincount(tasks.family).tolist() == [4] * 7
        for rows in tasks.rows:
            assert len(set(rows.ravel())) == rows.size, "no image twice in a task"
            assert (np.ptp(data.labels[rows], axis=1) == 0).all(), "a class is one character"
    for rows, family in zip(same.rows, same.family, strict=True):
        assert set(group[rows].ravel()) == {scripts[family]}
    for rows, family in zip(mixed.rows, mixed.family, strict=True):
        assert len(set(group[rows[:, 0]])) == WAY
        assert scripts[family] not in set(group[rows].ravel())


def test_the_seed_decides_the_tasks_and_five_scripts_are_too_few_to_leave_one_out() -> None:
    data = grouped(6)
    first, again, other = (draw_script_tasks(data, each=2, seed=s)[1].rows for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(LandscapeError, match="need more"):
        draw_script_tasks(grouped(5), each=1, seed=0)


def test_the_scripts_are_those_no_encoder_was_trained_on() -> None:
    data = unseen_scripts()
    trained = {"latin", "canadian", "arabic", "lisu", "old italic", "coptic"}
    assert scripts_of(data) == ("armenian", "cyrillic", "georgian", "greek", "hebrew", "lao")
    assert not trained & set(data.groups)


@pytest.mark.parametrize(
    ("name", "head"), [("maml-glyphs-s0", "stored"), (NAL, "class-means")], ids=["maml", "nal"]
)
def test_accuracy_after_adaptation_is_what_an_audit_measures(name: str, head: HeadStart) -> None:
    data = unseen_scripts()
    rows = draw_script_tasks(data, each=1, seed=3)[0].rows[:4]
    encoder = load_encoder(name)
    tasks = Tasks(
        data.labels[rows[:, :, 0]],
        rows[:, :, :SHOT],
        rows[:, :, SHOT : SHOT + QUERY],
        rows[:, :, -SHOT:],
    )
    episodes = EpisodeList(tasks, tasks, 0, (data.fingerprint, data.fingerprint))
    measurement = Measurement(encoder, data, data, episodes, encoder.rule, encoder.norm, head)
    bits = compute(measurement, episodes, ("adapted",))["adapted"].extras["head_adapted"]
    assert accuracy_after(encoder, data, rows) == pytest.approx(bits.mean(axis=1))


def planted_run(advantage: float) -> GlyphRun:
    """Six families of each kind; same-script tasks are slower, MAML gains ``advantage`` on them."""
    rng = np.random.default_rng(0)
    tasks = ScriptTasks(np.zeros((60, WAY, 20), np.int64), np.arange(60) // 10)
    same, mixed = (
        HeadRates(level + rng.uniform(-0.02, 0.02, 60), *np.ones((2, 60))) for level in (0.9, 0.7)
    )
    nal = rng.uniform(0.5, 0.6, (2, 60))
    return GlyphRun(
        scripts=tuple("abcdef"),
        same=tasks,
        mixed=tasks,
        rates={NAL: (same, mixed)},
        splits={NAL: split_by_rate(np.concatenate([same.rate, mixed.rate]))},
        maml=(nal[0] + advantage + rng.uniform(-0.01, 0.01, 60), nal[1] + 0.1),
        nal=(nal[0], nal[1]),
        runs=1,
    )


def test_head_rates_are_read_from_embeddings_of_the_tasks_own_images() -> None:
    encoder, whole = load_encoder("maml-glyphs-s0"), unseen_scripts()
    few = [c for s in scripts_of(whole) for c in np.flatnonzero(np.array(whole.groups) == s)[:6]]
    data = whole.subset([int(c) for c in few])
    same, mixed = draw_script_tasks(data, each=1, seed=0)
    found = glyph_rates(encoder, data, same, mixed)
    rows = embed(encoder, data, None).features
    labels = np.tile(np.repeat(np.arange(WAY), 20), (6, 1))
    expected = script_rates(
        rows[same.rows.reshape(6, -1)], labels, rows[mixed.rows.reshape(6, -1)], labels
    )
    for one, other in zip(found, expected, strict=True):
        assert one.rate == pytest.approx(other.rate, abs=1e-5)


@pytest.mark.parametrize(
    ("advantage", "verdicts"),
    [
        (0.3, ["SUPPORTED", "SUPPORTED", "SUPPORTED"]),
        (-0.1, ["SUPPORTED", "REFUTED", "REFUTED"]),
    ],
)
def test_claims_follow_what_was_planted(advantage: float, verdicts: list[str]) -> None:
    run = planted_run(advantage)
    assert [claim.verdict for claim in glyph_claims(run)] == verdicts
    table = family_table(run)
    assert len(table) == 12
    gained = by_family(run, run.maml[0] - run.nal[0])
    assert table["advantage of MAML"][:6].to_numpy() == pytest.approx(gained)
    assert hardness_table(run)["same is the slower of a pair"][0] == 1.0

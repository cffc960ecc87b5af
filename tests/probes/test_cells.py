"""Cells from planted features: the truth is known, and the bits say it."""

from __future__ import annotations

import numpy as np
import pytest

from metaprobe.analysis.effects import effects
from metaprobe.data.episodes import EpisodeList, draw_episodes
from metaprobe.data.errors import ProbeError
from metaprobe.data.synthetic import planted_images
from metaprobe.probes.cells import Gallery, ProbeSettings, cell_bits, classify, shuffled_bits
from metaprobe.probes.measurement import BlockFeatures
from metaprobe.probes.phases import CELLS

WAY, SHOT, QUERY, DIM = 5, 2, 6, 16
DATA = planted_images(classes=40, samples=20, size=4)
EPISODES = draw_episodes(DATA, 60, way=WAY, shot=SHOT, query=QUERY)


def planted(
    gap_on: float, gap_off: float, seed: int, episodes: EpisodeList = EPISODES
) -> BlockFeatures:
    """Noise around class means that lie `gap` apart, for T and T′."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.repeat(np.arange(WAY), n) for n in (SHOT, SHOT, QUERY)])
    means = rng.standard_normal((len(episodes), 2, WAY, DIM))
    means *= np.array([gap_on, gap_off])[None, :, None, None]
    noise = rng.standard_normal((len(episodes), 2, len(labels), DIM))
    return BlockFeatures((means[:, :, labels] + noise).astype(np.float32), {})


def verdicts(
    init: BlockFeatures, adapted: BlockFeatures, gallery: Gallery = "support"
) -> dict[str, str]:
    bits = cell_bits({"init": init, "adapted": adapted}, EPISODES, gallery, ProbeSettings())
    found = effects(dict(bits), EPISODES.on.classes, EPISODES.off.classes)
    return {name: effect.verdict for name, effect in found.items()}


def test_far_apart_classes_are_always_right_and_noise_is_at_chance() -> None:
    bits = cell_bits({"init": planted(50, 0, 0)}, EPISODES, "support", ProbeSettings())
    assert bits["init_on"].all()
    assert 0.15 < bits["init_off"].mean() < 0.25
    assert set(bits) == {"init_on", "init_off"}


@pytest.mark.parametrize("gallery", ["support", "fresh"])
def test_a_planted_shift_gives_the_planted_verdicts(gallery: Gallery) -> None:
    assert verdicts(planted(0.3, 0.3, 1), planted(2, 0.0, 1), gallery) == {
        "on": "RAISED",
        "off": "LOWERED",
        "interaction": "LOWERED",
    }


def test_the_same_features_give_no_change_at_all() -> None:
    same = planted(0.5, 0.5, 2)
    assert set(verdicts(same, same).values()) == {"NO MATERIAL CHANGE"}


def test_only_the_fresh_gallery_escapes_a_gallery_that_was_fitted() -> None:
    base = planted(0.0, 0.0, 3)
    fitted = base.features.copy()
    labels = np.repeat(np.arange(WAY), SHOT)
    fitted[:, 0, : WAY * SHOT] = 100 * np.eye(DIM)[labels]  # the support moves, nothing else
    adapted = BlockFeatures(fitted, {})
    kept = cell_bits({"init": base, "adapted": adapted}, EPISODES, "fresh", ProbeSettings())
    assert np.array_equal(kept["init_on"], kept["adapted_on"])
    moved = cell_bits({"init": base, "adapted": adapted}, EPISODES, "support", ProbeSettings())
    assert not np.array_equal(moved["init_on"], moved["adapted_on"])


def test_a_rotation_of_all_features_changes_no_bit() -> None:
    base = planted(0.6, 0.6, 4)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((DIM, DIM)))[0]
    turned = BlockFeatures((base.features.astype(np.float64) @ turn).astype(np.float32), {})
    bits = cell_bits({"init": base, "adapted": turned}, EPISODES, "support", ProbeSettings())
    assert (bits["init_on"] == bits["adapted_on"]).mean() > 0.999


def test_shuffled_labels_are_at_chance_however_good_the_features() -> None:
    found = shuffled_bits(planted(50, 50, 5), EPISODES, ProbeSettings(), 0)
    assert 0.13 < found.mean() < 0.27


def test_every_probe_reads_perfect_features_perfectly() -> None:
    good = planted(50, 50, 6)
    for probe in (
        ProbeSettings("class-mean"),
        ProbeSettings("knn", k=2),
        ProbeSettings("knn", metric="euclidean"),
        ProbeSettings("knn", k=3, weights="softmax"),
    ):
        bits = cell_bits({"init": good, "adapted": good}, EPISODES, "fresh", probe)
        assert all(bits[c].all() for c in CELLS), probe


def test_more_neighbours_than_images_is_an_error() -> None:
    with pytest.raises(ProbeError, match="k=11"):
        classify(
            np.zeros((1, 10, 3), np.float32),
            np.zeros((1, 4, 3), np.float32),
            5,
            ProbeSettings(k=11),
        )

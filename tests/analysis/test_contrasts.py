"""Two checkpoints, one list of episodes: differences in differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from metaprobe.analysis.contrasts import QUANTITIES, EpisodesDiffer, Measured, contrasts
from metaprobe.analysis.effects import effects
from metaprobe.analysis.statistics import holm
from metaprobe.data.errors import MetaprobeError
from metaprobe.probes.phases import CELLS

IDS: NDArray[np.int64] = np.argsort(np.random.default_rng(99).random((300, 60)), axis=1)[:, :10]


def checkpoint(
    name: str, seed: int, *, on: float = 0.0, off: float = 0.0, base: float = 0.6
) -> Measured:
    """Bits over the shared episodes: ``base`` right at first, ``on`` or ``off`` more afterwards."""
    rng = np.random.default_rng(seed)
    bits: list[NDArray[np.bool_]] = []
    for gain in (on, off):
        before = rng.random((300, 75)) < base
        u = rng.random(before.shape)
        bits += [
            before,
            np.where(before, u >= 0.02, u < 0.02 * base / (1 - base) + gain / (1 - base)),
        ]
    return Measured(name, "e" * 64, dict(zip(CELLS, bits, strict=True)), IDS[:, :5], IDS[:, 5:])


def test_a_checkpoint_does_not_differ_from_itself() -> None:
    one = checkpoint("one", 0)
    found = contrasts([one, replace(one, name="again")])
    assert [c.quantity for c in found] == list(QUANTITIES)
    for c in found:
        assert (c.value, c.ci_low, c.ci_high, c.sd) == (0.0, 0.0, 0.0, 0.0)
        assert (c.p, c.p_holm, c.p_sign_flip) == (1.0, 1.0, 1.0)
        assert c.verdict == "NO MATERIAL CHANGE"


def test_a_contrast_is_the_difference_of_the_two_effects() -> None:
    a, b = checkpoint("a", 1, on=0.02), checkpoint("b", 2, off=-0.01)
    effect = {m.name: effects(m.cells, m.classes_on, m.classes_off) for m in (a, b)}
    found = {c.quantity: c for c in contrasts([a, b])}
    for quantity in ("on", "off", "interaction"):
        expected = effect["a"][quantity].value - effect["b"][quantity].value
        assert found[quantity].value == pytest.approx(expected, abs=1e-12)
    bits = [np.asarray(m.cells["init_on"]).mean(axis=1) for m in (a, b)]
    assert found["meta_init"].value == pytest.approx((bits[0] - bits[1]).mean(), abs=1e-12)
    assert found["meta_init"].sd == pytest.approx((bits[0] - bits[1]).std(ddof=1))


def test_without_class_effects_the_p_value_is_near_that_of_a_paired_test() -> None:
    a, b = checkpoint("a", 3, on=0.01), checkpoint("b", 4)
    (found,) = contrasts([a, b], quantities=["on"])
    change = [
        np.asarray(m.cells["adapted_on"]).mean(axis=1) - np.asarray(m.cells["init_on"]).mean(axis=1)
        for m in (a, b)
    ]
    plain = stats.ttest_rel(change[0], change[1])
    z_ours, z_plain = (stats.norm.isf(p / 2) for p in (found.p, plain.pvalue))
    assert 0.6 < z_ours / z_plain <= 1.02
    assert found.p_holm == found.p


def test_a_planted_difference_is_found_and_has_a_sign() -> None:
    a, b = checkpoint("a", 5, off=0.03), checkpoint("b", 6)
    found = {c.quantity: c for c in contrasts([a, b])}
    assert found["off"].verdict == found["interaction"].verdict == "RAISED"
    assert found["off"].ci_low < 0.03 < found["off"].ci_high
    turned = {c.quantity: c for c in contrasts([b, a])}
    assert turned["off"].verdict == "LOWERED"
    assert turned["off"].value == pytest.approx(-found["off"].value)
    assert turned["off"].p == pytest.approx(found["off"].p)


def test_holm_runs_over_everything_reported_together() -> None:
    three = [checkpoint("a", 7, on=0.02), checkpoint("b", 8), checkpoint("c", 9, base=0.62)]
    found = contrasts(three)
    assert [(c.a, c.b) for c in found[::4]] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert len(found) == 12
    assert [c.p_holm for c in found] == pytest.approx(list(holm([c.p for c in found])))
    assert all(c.p_holm >= c.p for c in found)
    alone = contrasts(three[:2], quantities=["on", "interaction"])
    assert alone[0].p_holm <= found[1].p_holm


def test_the_interval_and_the_p_value_agree() -> None:
    for seed in range(8):
        for c in contrasts([checkpoint("a", seed, on=0.004), checkpoint("b", seed + 50)]):
            assert (c.p < 0.05) == (c.ci_low > 0 or c.ci_high < 0)


def test_other_episodes_cannot_be_compared() -> None:
    a, b = checkpoint("a", 1), checkpoint("b", 2)
    with pytest.raises(EpisodesDiffer, match="measure both with the same data") as caught:
        contrasts([a, replace(b, episodes_sha256="f" * 64)])
    assert isinstance(caught.value, MetaprobeError)
    assert caught.value.code == "episodes-differ"


def test_one_hash_over_different_records_is_damage() -> None:
    a, b = checkpoint("a", 1), checkpoint("b", 2)
    fewer = {
        cell: np.asarray(bits).reshape(300, 5, 15)[:, :, :9].reshape(300, 45)
        for cell, bits in b.cells.items()
    }
    for other in (replace(b, classes_on=IDS[:, 5:]), replace(b, cells=fewer)):
        with pytest.raises(EpisodesDiffer, match="damaged"):
            contrasts([a, other])


def test_one_checkpoint_or_none_has_no_contrast() -> None:
    assert contrasts([]) == ()
    assert contrasts([checkpoint("a", 1)]) == ()

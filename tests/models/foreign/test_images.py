"""What a checkpoint's own preprocessing does to images is what we take off them, or a refusal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from metaprobe.data.errors import CheckpointError
from metaprobe.models.foreign.ask import Ask
from metaprobe.models.foreign.images import image_shape, statistics

THREE = [0.5, 0.4, 0.3]


def asked() -> Ask:
    return Ask(name="transformers", settings={})


def by_the_book(pixels: Any, processor: dict[str, Any]) -> Any:
    """Steps of a processor in its own order, on pixels of 0…255: rescale, then normalise."""
    seen = pixels.astype(float)
    if processor.get("do_rescale", True):
        seen = seen * processor.get("rescale_factor", 1 / 255)
    if processor.get("do_normalize", True) and "image_mean" in processor:
        seen = (seen - np.array(processor["image_mean"])) / np.array(processor["image_std"])
    return seen


@pytest.mark.parametrize(
    "processor",
    [
        {"image_mean": THREE, "image_std": [0.2, 0.3, 0.4]},
        {"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [127.5, 64, 32]},
        {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1, 2, 3]},
        {"rescale_factor": 0.00392156862745098, "image_mean": THREE, "image_std": THREE},
        {"do_rescale": False, "do_normalize": False},
        {"rescale_factor": 1 / 127.5, "do_normalize": False, "image_mean": THREE, "image_std": THREE},
        {"do_rescale": False},
        {"do_normalize": False, "image_mean": THREE, "image_std": THREE},
    ],
)  # fmt: skip
def test_the_network_sees_what_its_processor_would_give_it(processor: dict[str, Any]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3))
    found = statistics(processor, asked(), 3, [])
    ours = (pixels / 255 - np.array(found.get("mean", 0))) / np.array(found.get("std", 1))
    np.testing.assert_allclose(ours, by_the_book(pixels, processor), rtol=1e-6, atol=1e-6)


def test_a_processor_that_sees_other_images_than_its_config_says_is_named() -> None:
    """DINOv2's config speaks of the 518 pixels of its positions, its processor crops to 224."""
    processor = {
        "do_center_crop": True, "crop_size": {"height": 224, "width": 224},
        "size": {"shortest_edge": 256}, "resample": 3,
    }  # fmt: skip
    config = SimpleNamespace(num_channels=3, image_size=518)
    assumed: list[str] = []
    assert image_shape(config, processor, asked(), assumed) == (3, 518, 518)
    assert assumed == [
        "where images are resized that is bilinear; the processor's filter is another (resample 3)",
        "images are 518 x 518 as config.json says; the processor's are 224 x 224, for which say "
        "image=224x224",
    ]
    for agreeing in ({"size": {"height": 518, "width": 518}, "resample": 2}, {"size": 518}, None):
        silent: list[str] = []
        assert image_shape(config, agreeing, asked(), silent) == (3, 518, 518)
        assert silent == []
    without = SimpleNamespace(num_channels=3)
    assert image_shape(without, processor, asked(), []) == (3, 224, 224)


def test_a_processor_that_does_not_normalise_is_not_said_to_be_silent() -> None:
    assumed: list[str] = []
    assert statistics({"do_normalize": False}, asked(), 3, assumed) == {}
    assert assumed == ["images enter in [0, 1]; the processor takes no mean or spread off"]


@pytest.mark.parametrize(
    ("processor", "words"),
    [
        ({"do_flip_channel_order": True, "do_normalize": False}, "do_flip_channel_order"),
        ({"rescale_offset": True}, "rescale_offset"),
        ({"rescale_factor": 0}, "above 0"),
        ({"rescale_factor": "1/255"}, "rescale_factor"),
        ({"image_mean": ["a", "a", "a"], "image_std": [1, 1, 1]}, "image_mean"),
        ({"image_mean": [], "image_std": []}, "image_mean"),
        ({"image_mean": [0.5] * 3, "image_std": {"r": 1}}, "image_std"),
        ({"image_mean": [0.5] * 9999, "image_std": [1] * 9999}, "image_mean"),
        ([1], "list"),
    ],
)
def test_what_we_do_not_do_or_cannot_read_is_refused(processor: Any, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as refused:
        statistics(processor, asked(), 3, [])
    assert "normalise=none" in str(refused.value)


def test_the_callers_word_comes_before_an_odd_processor() -> None:
    ask = Ask(name="transformers", settings={"normalise": "none"})
    assert statistics([1], ask, 3, []) == {}

"""Pixels and labels as tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metaprobe.data.images import LabelledImages
from metaprobe.data.synthetic import planted_images
from metaprobe.models.tensors import image_tensor, label_tensor, not_finite


def test_rows_keep_their_order_and_pixels_lie_in_zero_to_one() -> None:
    data = planted_images(3, 4, size=5, channels=2)
    rows = np.array([[[0, 3], [8, 5]], [[11, 1], [2, 2]]])
    found = image_tensor(data, rows, torch.float64)
    assert found.shape == (2, 4, 2, 5, 5)
    expected = data.images[rows.reshape(2, 4)] / 255
    assert np.array_equal(found.numpy(), expected)


def test_float_pixels_are_taken_as_they_are() -> None:
    bytes_ = planted_images(2, 2, size=4)
    scaled = (bytes_.images / 255).astype(np.float32)
    data = LabelledImages(
        "floats", "all", scaled, bytes_.labels, bytes_.ids, bytes_.classes, bytes_.groups
    )
    found = image_tensor(data, np.array([[3, 0]]))
    assert found.dtype == torch.float32
    assert np.array_equal(found[0].numpy(), scaled[[3, 0]])


def test_a_tensor_of_images_is_a_copy() -> None:
    data = planted_images(2, 2, size=4)
    before = data.images.copy()
    image_tensor(data, np.array([[0, 1]])).zero_()
    assert np.array_equal(data.images, before)


def test_labels_are_class_major() -> None:
    assert label_tensor(2, 3, 2).tolist() == [[0, 0, 1, 1, 2, 2]] * 2


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn]
)
def test_values_that_are_not_finite_are_counted_in_any_precision(dtype: torch.dtype) -> None:
    assert not_finite(torch.tensor([1.0, float("nan"), 0.0, float("nan")]).to(dtype)) == 2
    assert not_finite(torch.ones(3, dtype=dtype)) == 0

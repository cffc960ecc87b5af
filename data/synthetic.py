"""Planted truth: small datasets whose answer is known beforehand."""

from __future__ import annotations

import numpy as np

from .images import LabelledImages


def planted_images(
    classes: int = 12,
    samples: int = 20,
    *,
    size: int = 8,
    channels: int = 1,
    gap: float = 0.5,
    groups: int = 1,
    seed: int = 0,
) -> LabelledImages:
    """Images that are a class pattern plus noise.

    Args:
        classes: Number of classes.
        samples: Images of each.
        size: Side in pixels.
        channels: Channels.
        gap: Weight of the class pattern; 0 leaves noise alone, 1 leaves no noise.
        groups: Classes are dealt to this many groups in turn.
        seed: The only source of randomness.
    """
    rng = np.random.default_rng(seed)
    pattern = rng.random((classes, 1, channels, size, size))
    noise = rng.random((classes, samples, channels, size, size))
    images = (255 * (gap * pattern + (1 - gap) * noise)).astype(np.uint8)
    return LabelledImages(
        name="planted",
        split="all",
        images=images.reshape(-1, channels, size, size),
        labels=np.repeat(np.arange(classes), samples),
        ids=np.array([f"planted/{c}/{i}" for c in range(classes) for i in range(samples)]),
        classes=tuple(f"class {c}" for c in range(classes)),
        groups=tuple(f"group {c % groups}" for c in range(classes)),
    )

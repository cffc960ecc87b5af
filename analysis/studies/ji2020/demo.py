"""Two small bodies on handwritten digits: random, and trained by supervision.

They make the point of `geometry` on real images in seconds: the same inner rate and
number of steps mean quite different adaptations, because training changes the scale of
the features and with it the curvature of the head's loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from .adaptation import minimise
from .encoder import EncoderGeometry, encoder_geometry
from .problems import Array
from .recursion import inner_path


def digits() -> tuple[Tensor, Tensor]:
    """The 1797 images ``(n, 64)`` in [0, 1], float64, and their labels."""
    images, labels = load_digits(return_X_y=True)
    return torch.from_numpy(np.asarray(images) / 16.0), torch.from_numpy(np.asarray(labels))


def small_body(seed: int) -> nn.Sequential:
    """An untrained 64 → 64 → 32 network with a smooth activation, float64.

    Weights have the spread ``1/√fan_in``, drawn from their own stream.
    """
    generator = torch.Generator().manual_seed(seed)
    body = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 32)).double()
    with torch.no_grad():
        for layer in body:
            if isinstance(layer, nn.Linear):
                fresh = torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64)
                layer.weight.copy_(fresh / layer.in_features**0.5)
                layer.bias.zero_()
    return body


def train_body(body: nn.Sequential, images: Tensor, labels: Tensor, *, iterations: int) -> None:
    """Trains a body in place with a ten-way linear head on top (full batch, Adam)."""
    head = torch.zeros(10, 32, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([*body.parameters(), head], lr=0.01)
    for _ in range(iterations):
        optimiser.zero_grad()
        cross_entropy(body(images) @ head.T, labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def episode(
    labels: Tensor, *, ways: int, shots: int, queries: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of a few-shot task: support ``(W·K,)``, query ``(W·Q,)`` and the W classes."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(10, size=ways, replace=False)
    rows = [rng.permutation(np.flatnonzero(labels.numpy() == c)) for c in classes]
    support = np.concatenate([r[:shots] for r in rows])
    query = np.concatenate([r[shots : shots + queries] for r in rows])
    return torch.from_numpy(support), torch.from_numpy(query), torch.from_numpy(classes)


@dataclass(frozen=True)
class Comparison:
    """The same inner loop on two bodies.

    Args:
        geometry: Per body, at the copied rate.
        copied: Share of the possible head-loss decrease after ``0 … N`` steps at the
            copied rate, per body.
        scaled: The same at each body's own ``1/L``.
        rate: The copied rate.
        accuracy: Query accuracy of nearest class means, a share, per body.
    """

    geometry: dict[str, EncoderGeometry]
    copied: dict[str, Array]
    scaled: dict[str, Array]
    rate: float
    accuracy: dict[str, float]


def compare_bodies(
    seed: int, *, rate: float = 0.1, steps: int = 5, l2: float = 0.01, most: int = 60
) -> Comparison:
    """Measures one 5-way 5-shot digit episode with a random and a trained body.

    Args:
        seed: Of weights and episode.
        rate: Inner rate copied to both.
        steps: Inner steps asked about.
        l2: Penalty on the head.
        most: Length of the curves.
    """
    images, labels = digits()
    trained = small_body(seed)
    train_body(trained, images[:900], labels[:900], iterations=150)
    support, query, classes = episode(labels[900:], ways=5, shots=5, queries=15, seed=seed)
    x, y = images[900:][support], labels[900:][support]
    found: dict[str, EncoderGeometry] = {}
    copied: dict[str, Array] = {}
    scaled: dict[str, Array] = {}
    accuracy: dict[str, float] = {}
    for name, body in {"random body": small_body(seed), "trained body": trained}.items():
        found[name] = encoder_geometry(body, x, y, alpha=rate, steps=steps, l2=l2)
        with torch.no_grad():
            features, others = body(x), body(images[900:][query])
        copied[name] = decrease_curve(features, y, alpha=rate, l2=l2, most=most)
        own = found[name].head.safe_rate
        scaled[name] = decrease_curve(features, y, alpha=own, l2=l2, most=most)
        means = torch.stack([features[y == c].mean(0) for c in classes])
        guess = classes[torch.cdist(others, means).argmin(1)]
        accuracy[name] = float((guess == labels[900:][query]).double().mean())
    return Comparison(found, copied, scaled, rate, accuracy)


def decrease_curve(
    features: Tensor, labels: Tensor, *, alpha: float, l2: float, most: int
) -> Array:
    """Share of the possible head-loss decrease after each of ``0 … most`` steps."""
    classes, targets = torch.unique(labels, return_inverse=True)
    start = features.new_zeros(len(classes), features.shape[1])

    def loss(w: Tensor) -> Tensor:
        return cross_entropy(features @ w.T, targets) + l2 / 2 * (w**2).sum()

    path = inner_path(lambda w, _: loss(w), start, start, alpha=alpha, steps=most)
    values = np.array([float(loss(w)) for w in path])
    best = float(loss(minimise(loss, start)))
    return np.asarray((values[0] - values) / (values[0] - best))

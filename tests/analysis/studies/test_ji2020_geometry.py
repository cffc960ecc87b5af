"""Ji 2020: the inner-loop geometry of an encoder, against dense Hessians."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from metaprobe.analysis.studies.ji2020.adaptation import decrease_reached, finite_step_bias
from metaprobe.analysis.studies.ji2020.encoder import (
    default_groups,
    encoder_geometry,
    episode_losses,
)
from metaprobe.analysis.studies.ji2020.geometry import advise, head_geometry, steps_to
from metaprobe.analysis.studies.ji2020.recursion import (
    inner_path,
)
from metaprobe.analysis.studies.ji2020.spectrum import Curvature, curvature
from metaprobe.data.errors import ProbeError


def dense_hessian(loss: Callable[[Tensor], Tensor], at: Tensor) -> np.ndarray:
    leaf = at.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)
    rows = [torch.autograd.grad(s, leaf, retain_graph=True)[0] for s in slope.reshape(-1)]
    return torch.stack(rows).reshape(at.numel(), -1).numpy()


@pytest.mark.parametrize(("n", "d"), [(12, 4), (3, 6)])
def test_the_geometry_of_a_squares_head_is_its_hessians(n: int, d: int) -> None:
    g = torch.Generator().manual_seed(n)
    h = torch.randn(n, d, generator=g, dtype=torch.float64)
    y = torch.randn(n, generator=g, dtype=torch.float64)
    for l2 in (0.0, 0.3):
        hessian = dense_hessian(
            lambda w, l2=l2: ((h @ w - y) ** 2).mean() / 2 + l2 / 2 * (w**2).sum(),  # type: ignore[misc]
            torch.zeros(d, dtype=torch.float64),
        )
        values = np.linalg.eigvalsh(hessian)
        shape = head_geometry(h, loss="squares", l2=l2)
        assert shape.smoothness == pytest.approx(values[-1])
        assert shape.mu == pytest.approx(max(values[0], 0.0), abs=1e-12)
        if n < d:
            assert shape.mu == l2
            assert shape.strongly_convex is (l2 > 0)
            if not l2:
                assert math.isinf(shape.condition)
                assert shape.effective_mu > 0


@given(seed=st.integers(0, 10**6), spread=st.floats(0.0, 5.0), l2=st.floats(0.0, 1.0))
@settings(max_examples=25, deadline=None)
def test_the_geometry_of_a_softmax_head_bounds_its_hessian_everywhere(
    seed: int, spread: float, l2: float
) -> None:
    g = torch.Generator().manual_seed(seed)
    h = torch.randn(8, 3, generator=g, dtype=torch.float64)
    labels = torch.randint(3, (8,), generator=g)
    w = spread * torch.randn(3, 3, generator=g, dtype=torch.float64)
    hessian = dense_hessian(
        lambda v: cross_entropy(h @ v.reshape(3, 3).T, labels) + l2 / 2 * (v**2).sum(),
        w.reshape(-1),
    )
    values = np.linalg.eigvalsh(hessian)
    shape = head_geometry(h, loss="cross-entropy", l2=l2)
    assert values[-1] <= shape.smoothness + 1e-9
    assert values[0] == pytest.approx(shape.mu, abs=1e-9), "a shift of all classes is free"


def test_features_that_cannot_be_measured_are_refused() -> None:
    for bad, word in (
        (torch.zeros(3), "matrix"),
        (torch.full((2, 2), torch.nan), "NaN"),
        (torch.zeros(0, 4), "matrix"),
    ):
        with pytest.raises(ProbeError, match=word):
            head_geometry(bad, loss="squares")
    with pytest.raises(ProbeError, match="penalty"):
        head_geometry(torch.eye(2), loss="squares", l2=-1)


def test_steps_to_is_enough_and_one_less_is_not() -> None:
    alpha, mu = 0.2, 0.3
    n = int(steps_to(0.01, alpha=alpha, mu=mu))
    assert (1 - alpha * mu) ** n <= 0.01 < (1 - alpha * mu) ** (n - 1)
    shape = head_geometry(torch.eye(2, dtype=torch.float64), loss="squares", l2=0.1)
    assert shape.safe_rate == pytest.approx(1 / 0.6)
    assert shape.fastest_rate == pytest.approx(1 / 0.6)
    assert steps_to(0.1, alpha=0.5, mu=0.0) == math.inf
    assert steps_to(0.1, alpha=0.5, mu=2.0) == 1
    for arguments in ({"share": 0.0, "alpha": 1.0, "mu": 0.1}, {"share": 0.5, "alpha": 2, "mu": 1}):
        with pytest.raises(ProbeError):
            steps_to(arguments["share"], alpha=arguments["alpha"], mu=arguments["mu"])


def tiny_encoder(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    g = torch.Generator().manual_seed(0)
    body = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)).to(dtype)
    with torch.no_grad():
        for p in body.parameters():
            p.copy_(torch.randn(p.shape, generator=g, dtype=torch.float64))
    return body


def tiny_episode() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    x, xq = (torch.randn(n, 5, generator=g, dtype=torch.float64) for n in (9, 12))
    return x, torch.arange(9) % 3, xq, torch.arange(12) % 3


def test_curvature_of_each_group_is_the_dense_hessians() -> None:
    encoder = tiny_encoder()
    x, y, _, _ = tiny_episode()
    found = encoder_geometry(encoder, x, 10 * y + 7, alpha=0.1, steps=4, l2=0.02, iterations=60)
    head = torch.zeros(3, 3, dtype=torch.float64)
    with torch.no_grad():
        h = encoder(x)

    def head_loss(w: Tensor, _: Tensor) -> Tensor:
        return cross_entropy(h @ w.T, y) + 0.01 * (w**2).sum()

    head = inner_path(head_loss, head, head, alpha=0.1, steps=4)[-1]
    names = [n for n, _ in encoder.named_parameters()]
    sizes = [p.numel() for p in encoder.parameters()]
    shapes = [p.shape for p in encoder.parameters()]

    def whole(flat: Tensor) -> Tensor:
        *body, w = torch.split(flat, [*sizes, 9])
        named = {k: b.reshape(s) for k, b, s in zip(names, body, shapes, strict=True)}
        features = functional_call(encoder, named, (x,))
        return cross_entropy(features @ w.reshape(3, 3).T, y) + 0.01 * (w**2).sum()

    flat = torch.cat([*(p.detach().reshape(-1) for p in encoder.parameters()), head.reshape(-1)])
    hessian = dense_hessian(whole, flat)
    last = sum(sizes[:-2])
    blocks = {
        "head only": slice(sum(sizes), None),
        "last layer and head": slice(last, None),
        "body only": slice(None, sum(sizes)),
        "everything": slice(None),
    }
    assert list(found.groups) == list(blocks)
    for name, block in blocks.items():
        values = np.linalg.eigvalsh(hessian[block, block])
        shape, _ = found.groups[name]
        assert shape.largest == pytest.approx(values[-1], rel=1e-7)
        assert shape.smallest == pytest.approx(values[0], rel=1e-6, abs=1e-8)
    assert found.groups["head only"][1].geometry == "convex"
    assert found.groups["everything"][1].geometry == "nonconvex"
    table = found.table()
    assert list(table["adapted"]) == list(blocks)


@pytest.mark.parametrize("training", [True, False])
def test_an_encoder_is_left_as_it_was_found(training: bool) -> None:
    encoder = tiny_encoder().train(training)
    for p in encoder.parameters():
        p.requires_grad_(False)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    x, y, _, _ = tiny_episode()
    encoder_geometry(encoder, x, y, alpha=0.1, steps=2)
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    assert encoder.training is training
    assert not any(p.requires_grad or p.grad is not None for p in encoder.parameters())


def test_groups_are_named_by_layers_and_unknown_names_are_refused() -> None:
    encoder = tiny_encoder()
    assert default_groups(encoder)["last layer and head"] == ["3.weight", "3.bias", "head"]
    normed = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3), nn.BatchNorm1d(3))
    last = ["1.weight", "1.bias", "2.weight", "2.bias", "head"]
    assert default_groups(normed)["last layer and head"] == last
    assert list(default_groups(nn.Flatten())) == ["head only"]
    x, y, _, _ = tiny_episode()
    with pytest.raises(ProbeError, match=r"9\.weight"):
        encoder_geometry(encoder, x, y, alpha=0.1, steps=1, groups={"a": ["9.weight"]})
    with pytest.raises(ProbeError, match=r"give \(3, 3\)"):
        encoder_geometry(encoder, x, y, alpha=0.1, steps=1, head=torch.zeros(2, 3))


def test_float32_encoders_are_measured_too() -> None:
    x, y, _, _ = tiny_episode()
    wide = encoder_geometry(tiny_encoder(), x, y, alpha=0.1, steps=2)
    narrow = encoder_geometry(tiny_encoder(torch.float32), x.float(), y, alpha=0.1, steps=2)
    assert narrow.head.smoothness == pytest.approx(wide.head.smoothness, rel=1e-5)
    for name, (shape, _) in wide.groups.items():
        assert narrow.groups[name][0].largest == pytest.approx(shape.largest, rel=1e-3)


def test_the_finite_step_bias_shrinks_to_nothing_with_steps() -> None:
    encoder = tiny_encoder().eval()
    x, y, xq, yq = tiny_episode()
    inner, outer, body = episode_losses(encoder, (x, y), (xq, yq), l2=0.5)
    head = torch.zeros(3, 3, dtype=torch.float64)
    with torch.no_grad():
        rate = head_geometry(encoder(x), loss="cross-entropy", l2=0.5).safe_rate
    bias = [
        finite_step_bias(inner, outer, head, body, alpha=rate, steps=n) for n in (2, 20, 60, 400)
    ]
    assert bias[-1] < 1e-4
    assert bias[0] > bias[1] > bias[2] > bias[3]


def test_the_finite_step_bias_needs_strong_convexity() -> None:
    head, body = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    with pytest.raises(ProbeError, match="not strongly convex"):
        finite_step_bias(
            lambda w, f: (w[0] - f[0]) ** 2 * 0.5,
            lambda w, f: ((w - f) ** 2).sum() + w[1],
            head,
            body,
            alpha=0.1,
            steps=2,
        )


def test_the_reached_decrease_is_a_share_of_what_is_possible() -> None:
    target = torch.tensor([1.0, -2.0], dtype=torch.float64)

    def loss(w: Tensor) -> Tensor:
        return ((w - target) ** 2).sum() / 2

    start = torch.zeros(2, dtype=torch.float64)
    for steps in (0, 1, 5):
        share = decrease_reached(loss, start, alpha=0.1, steps=steps)
        assert share == pytest.approx(1 - 0.9 ** (2 * steps), abs=1e-9)
    assert decrease_reached(loss, target, alpha=0.1, steps=3) == 1
    assert decrease_reached(loss, start, alpha=2.5, steps=3) < 0


def test_advice_follows_the_sign_of_the_smallest_curvature() -> None:
    convex = advise(Curvature(4.0, 0.0, 10), alpha=0.1, steps=50)
    assert (convex.geometry, convex.stable, convex.growth) == ("convex", True, 1.0)
    assert convex.rate == pytest.approx(1 / 4)
    hot = advise(Curvature(4.0, 0.1, 10), alpha=0.6, steps=5)
    assert not hot.stable
    assert "overshoots" in hot.sentence
    bent = advise(Curvature(4.0, -1.0, 10), alpha=0.1, steps=20)
    assert bent.geometry == "nonconvex"
    assert bent.growth == pytest.approx(1.1**40)
    assert (1 + bent.rate) ** 40 == pytest.approx(10)
    assert "amplify" in bent.sentence
    rates = [advise(Curvature(4.0, -1.0, 10), alpha=0.1, steps=n).rate * n for n in (40, 80, 160)]
    assert rates == pytest.approx([math.log(10) / 2] * 3, rel=0.05), "the rate falls like 1/N"
    assert advise(Curvature(4.0, -1e-9, 3), alpha=0.1, steps=2).geometry == "convex"


def test_an_empty_group_has_no_curvature() -> None:
    with pytest.raises(ProbeError, match="empty"):
        curvature(lambda: torch.zeros(()), [])
    flat = torch.ones(3, requires_grad=True)
    assert curvature(lambda: flat.sum(), [flat]) == Curvature(0.0, 0.0, 3)

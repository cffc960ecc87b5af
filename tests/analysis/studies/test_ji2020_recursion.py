"""Ji 2020: the exact meta-gradient against automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from metaprobe.analysis.studies.ji2020 import anil_meta_gradient
from metaprobe.analysis.studies.ji2020.recursion import (
    inner_path,
    unrolled_meta_gradient,
)
from metaprobe.data.errors import ProbeError


def close(ours: Tensor, theirs: Tensor, tolerance: float) -> bool:
    return float((ours - theirs).norm()) <= tolerance * max(1.0, float(theirs.norm()))


def random_problem(
    seed: int, n: int, d: int, ways: int, kind: str
) -> tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor], Tensor, Tensor]:
    """Support and query loss of a random task, with a random head and a random body."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    x, xq, body = draw(n, 3), draw(2 * n, 3), draw(3, d)
    labels = torch.randint(ways, (n,), generator=g)
    query_labels = torch.randint(ways, (2 * n,), generator=g)
    y, yq = draw(n), draw(2 * n)
    if kind == "softmax":
        head = draw(d, ways)
        return (
            lambda w, f: cross_entropy(torch.tanh(x @ f) @ w, labels) + 0.05 * (w**2).sum(),
            lambda w, f: cross_entropy(torch.tanh(xq @ f) @ w, query_labels),
            head,
            body,
        )
    head = draw(2 * d + 2)

    def out(rows: Tensor, w: Tensor, f: Tensor) -> Tensor:
        return torch.tanh(torch.tanh(rows @ f) @ w[: 2 * d].reshape(d, 2)) @ w[2 * d :]

    return (
        lambda w, f: ((out(x, w, f) - y) ** 2).mean(),
        lambda w, f: ((out(xq, w, f) - yq) ** 2).mean() + (f**2).sum() * (w**2).sum(),
        head,
        body,
    )


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 6),
    d=st.integers(1, 5),
    ways=st.integers(2, 4),
    kind=st.sampled_from(["softmax", "two-layer"]),
    alpha=st.floats(-0.3, 0.5),
    steps=st.integers(0, 8),
)
@settings(max_examples=20, deadline=None)
def test_the_recursion_is_autodiff_through_the_unrolled_loop(
    seed: int, n: int, d: int, ways: int, kind: str, alpha: float, steps: int
) -> None:
    inner, outer, head, body = random_problem(seed, n, d, ways, kind)
    w, f = head.clone().requires_grad_(), body.clone().requires_grad_()
    moved = w
    for _ in range(steps):
        (slope,) = torch.autograd.grad(inner(moved, f), moved, create_graph=True)
        moved = moved - alpha * slope
    expected = torch.autograd.grad(outer(moved, f), (w, f))
    ours = anil_meta_gradient(inner, outer, head, body, alpha=alpha, steps=steps)
    for a, b in zip(ours, expected, strict=True):
        assert a.shape == b.shape
        assert not a.requires_grad
        assert close(a, b, 1e-9)


def test_the_recursion_is_not_the_first_order_shortcut() -> None:
    inner, outer, head, body = random_problem(1, 5, 4, 3, "softmax")
    exact = anil_meta_gradient(inner, outer, head, body, alpha=0.5, steps=5)
    w = inner_path(inner, head, body, alpha=0.5, steps=5)[-1].requires_grad_()
    f = body.clone().requires_grad_()
    shortcut = torch.autograd.grad(outer(w, f), (w, f))
    assert all(
        float((a - b).norm() / a.norm()) > 0.02 for a, b in zip(exact, shortcut, strict=True)
    )


def test_losses_that_ignore_a_part_give_it_a_zero_gradient() -> None:
    head, body = torch.ones(2, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    linear = anil_meta_gradient(
        lambda w, f: w.sum(), lambda w, f: (w**2).sum(), head, body, alpha=0.1, steps=3
    )
    torch.testing.assert_close(linear[0], torch.full_like(head, 2 * 0.7))
    assert not linear[1].any()
    constant = anil_meta_gradient(
        lambda w, f: (w**2).sum(), lambda w, f: w.new_ones(()), head, body, alpha=0.1, steps=3
    )
    assert not constant[0].any()
    assert not constant[1].any()


def test_the_inputs_are_left_as_they_were_and_gradients_may_be_switched_off() -> None:
    inner, outer, head, body = random_problem(2, 4, 3, 2, "softmax")
    before = head.clone(), body.clone()
    with torch.no_grad():
        quiet = anil_meta_gradient(inner, outer, head, body, alpha=0.2, steps=2)
    loud = anil_meta_gradient(
        inner, outer, head.requires_grad_(), body.requires_grad_(), alpha=0.2, steps=2
    )
    assert all(torch.equal(a, b) for a, b in zip(quiet, loud, strict=True))
    assert torch.equal(head, before[0])
    assert head.grad is None
    assert body.grad is None


def test_a_negative_number_of_steps_is_refused() -> None:
    inner, outer, head, body = random_problem(0, 2, 2, 2, "softmax")
    with pytest.raises(ProbeError, match="-1 inner steps"):
        anil_meta_gradient(inner, outer, head, body, alpha=0.1, steps=-1)


def test_maml_with_a_frozen_body_is_anil_and_with_a_frozen_head_is_not_first_order() -> None:
    inner, outer, head, body = random_problem(3, 5, 3, 3, "two-layer")
    ours = anil_meta_gradient(inner, outer, head, body, alpha=0.3, steps=4)
    maml = unrolled_meta_gradient(inner, outer, head, body, alpha_head=0.3, alpha_body=0.0, steps=4)
    assert all(close(a, b, 1e-12) for a, b in zip(ours, maml, strict=True))
    boil = unrolled_meta_gradient(inner, outer, head, body, alpha_head=0.0, alpha_body=0.1, steps=4)
    moved = inner_path(lambda f, w: inner(w, f), body, head, alpha=0.1, steps=4)[-1]
    leaf = head.clone().requires_grad_()
    (short,) = torch.autograd.grad(outer(leaf, moved), leaf)
    assert float((boil[0] - short).norm() / boil[0].norm()) > 1e-3

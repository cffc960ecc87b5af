"""Ji 2020: the cost formulas against PyTorch's own count."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from metaprobe.analysis.studies.ji2020 import flops
from metaprobe.analysis.studies.ji2020.flops import (
    Forward,
    Method,
    Shape,
    counted,
    measure_forward,
    meta_flops,
    one_meta_gradient,
    products,
)
from metaprobe.data.errors import ProbeError


@given(
    method=st.sampled_from(["anil", "maml", "fomaml"]),
    layers=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    ways=st.integers(2, 5),
    n_support=st.integers(1, 12),
    n_query=st.integers(1, 12),
    steps=st.integers(0, 4),
)
@settings(max_examples=20, deadline=None)
def test_the_cost_formulas_are_pytorchs_own_count(
    method: Method, layers: list[int], ways: int, n_support: int, n_query: int, steps: int
) -> None:
    run = one_meta_gradient(
        method,
        layers=layers,
        ways=ways,
        n_support=n_support,
        n_query=n_query,
        steps=steps,
        seed=0,
    )
    formula = flops(
        method, layers=layers, ways=ways, n_support=n_support, n_query=n_query, steps=steps
    )
    assert formula == counted(run)


def test_the_counted_computation_is_the_meta_gradient() -> None:
    """The counter must not be fed something cheaper than the real thing."""
    shape: Shape = {"layers": [4, 6, 3], "ways": 3, "n_support": 6, "n_query": 9}
    grads = one_meta_gradient("anil", **shape, steps=3, seed=1)()
    assert isinstance(grads, tuple)
    assert [tuple(g.shape) for g in grads] == [(3, 3), (4, 6), (6, 3)]
    assert all(bool(g.abs().sum() > 0) for g in grads)


def test_the_known_slopes_and_ratios_are_matched() -> None:
    def cost(method: Method, steps: int) -> int:
        return flops(
            method, layers=[64, 256, 256, 64], ways=5, n_support=25, n_query=75, steps=steps
        )

    slopes = [cost(m, 2) - cost(m, 1) for m in ("anil", "maml", "fomaml")]
    assert slopes == [96000, 40284800, 13974400]
    ratios = [cost("maml", n) / cost("anil", n) for n in (1, 5, 10, 20)]
    assert ratios == pytest.approx([1.469, 4.320, 7.829, 14.672], abs=5e-4)


def test_a_convolutional_body_is_measured_and_costed() -> None:
    body = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.Tanh(),
        nn.Sequential(nn.Conv2d(4, 3, 3, bias=False), nn.Flatten()),
    )
    images, queries = torch.randn(4, 1, 8, 8), torch.randn(6, 1, 8, 8)
    support = measure_forward(body, images, ways=2)
    first, second = 2 * 4 * 4 * 36 * 9, 2 * 4 * 3 * 16 * 36
    assert support == Forward(body=first + second, first=first, head=2 * 4 * 48 * 2)
    query = measure_forward(body, queries, ways=2)
    head = torch.randn(48, 2, requires_grad=True)

    def anil() -> object:
        h, w = body(images), head
        for _ in range(2):
            loss = cross_entropy(h @ w, torch.tensor([0, 1, 0, 1]))
            (slope,) = torch.autograd.grad(loss, w, create_graph=True)
            w = w - 0.1 * slope
        loss = cross_entropy(body(queries) @ w, torch.tensor([0, 1, 0, 1, 0, 1]))
        return torch.autograd.grad(loss, [head, *body.parameters()])

    assert meta_flops("anil", support=support, query=query, steps=2) == counted(anil)


def test_second_order_products_are_what_separates_the_methods() -> None:
    anil, maml, first = (
        products(m, steps=5, head=10, body=1000) for m in ("anil", "maml", "fomaml")
    )
    assert (anil.second_order, maml.second_order, first.second_order) == (10, 5, 0)
    assert maml.stored / anil.stored == 101
    assert first.stored == 1010


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"method": "reptile"}, "reptile"),
        ({"layers": [4]}, "two widths"),
        ({"layers": [4, 0]}, "two widths"),
        ({"ways": 0}, "ways=0"),
        ({"n_support": 0}, "n_support=0"),
        ({"steps": -2}, "-2 inner steps"),
    ],
)
def test_an_impossible_cost_is_refused_in_words(change: dict[str, object], word: str) -> None:
    arguments = {
        "method": "anil",
        "layers": [4, 3],
        "ways": 2,
        "n_support": 2,
        "n_query": 2,
        "steps": 1,
    }
    arguments.update(change)
    method = arguments.pop("method")
    with pytest.raises(ProbeError, match=word):
        flops(method, **arguments)  # type: ignore[arg-type]

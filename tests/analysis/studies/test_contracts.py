"""The functions that others call by name: their names, their keywords, and a value each.

A paper's formula is held to its own tables elsewhere; here only the way in is held.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from metaprobe.analysis.studies import bernacchia2021, collins2022, flennerhag2023, ji2020

MODEL: dict[str, Any] = {
    "n_train": 5, "n_val": 5, "n_test": 5, "tasks": 20, "dim": 4, "noise": 0.3, "spread": 0.5,
    "init_distance": 1.0,
}  # fmt: skip
RATES = {"alpha_train": -0.1, "alpha_test": 0.2}
LANDSCAPE: dict[str, Any] = {
    "dim": 5, "alpha": 0.3, "rho_easy": 0.9, "rho_hard": 0.1, "p_hard": 0.5,
}  # fmt: skip
RISKS: dict[str, Any] = {
    **LANDSCAPE, "distance": 2.0, "r_easy": 0.1, "r_hard": 0.2, "noise": 0.1,
    "n_train": math.inf, "n_test": math.inf,
}  # fmt: skip


@pytest.mark.parametrize(
    ("function", "keywords"),
    [
        (bernacchia2021.expected_test_loss, {**RATES, **MODEL, "form": "refined"}),
        (bernacchia2021.simulate_test_loss, {**RATES, **MODEL, "runs": 8, "seed": 0}),
        (bernacchia2021.optimal_rates, {**MODEL, "form": "leading"}),
        (collins2022.positions, {**LANDSCAPE, "n": 25}),
        (collins2022.excess_risks, RISKS),
        (collins2022.gain_ratio, RISKS),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_closed_form_takes_its_parameters_by_keyword_alone(
    function: Callable[..., Any], keywords: dict[str, Any]
) -> None:
    kinds = {p.kind for p in inspect.signature(function).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}
    found = function(**keywords)
    values = found if isinstance(found, tuple) else (found,)
    assert all(isinstance(v, float) and math.isfinite(v) for v in values)
    assert function(**keywords) == found


def test_without_hard_tasks_both_methods_stand_at_one_place() -> None:
    nal, maml = collins2022.positions(**{**LANDSCAPE, "p_hard": 0.0}, n=math.inf)
    assert nal == pytest.approx(maml)


def test_anils_meta_gradient_is_that_of_autodiff() -> None:
    draw = torch.Generator().manual_seed(0)
    head, body = (torch.randn(s, generator=draw, dtype=torch.float64) for s in (3, (2, 3)))
    x = torch.randn(4, 2, generator=draw, dtype=torch.float64)

    def loss(target: float) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        return lambda w, phi: ((torch.tanh(x @ phi) @ w - target) ** 2).mean()

    found = ji2020.anil_meta_gradient(loss(1.0), loss(2.0), head, body, alpha=0.1, steps=4)
    w, phi = head.clone().requires_grad_(), body.clone().requires_grad_()
    moved = w
    for _ in range(4):
        (g,) = torch.autograd.grad(loss(1.0)(moved, phi), moved, create_graph=True)
        moved = moved - 0.1 * g
    for one, other in zip(found, torch.autograd.grad(loss(2.0)(moved, phi), (w, phi)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", ["anil", "maml", "fomaml"])
def test_operations_are_whole_numbers_that_grow_with_the_steps(method: Any) -> None:
    size: dict[str, Any] = {"layers": [8, 16, 4], "ways": 5, "n_support": 5, "n_query": 10}
    one, two = (ji2020.flops(method, **size, steps=n) for n in (1, 2))
    assert isinstance(one, int)
    assert 0 < one < two


@pytest.mark.parametrize("method", ["gd", "mg", "omg", "fista", "ada-mg", "ada-omg", "bmg"])
def test_every_optimiser_gives_a_value_a_step(method: Any) -> None:
    found = flennerhag2023.optimise(
        lambda x: (x**2).sum() / 2, [1.0, -1.0], method=method, steps=30, weights="linear", beta=0.1
    )
    assert found.values.shape == (30,)
    assert found.values[-1] < found.values[0]


def square(w: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
    return (w**2).sum() + (w * phi).sum()


VECTOR = torch.ones(3, dtype=torch.float64)
META: dict[str, Any] = {
    "inner_loss": square, "outer_loss": square, "head": VECTOR, "body": VECTOR, "alpha": 0.1,
    "steps": 2,
}  # fmt: skip
COST: dict[str, Any] = {
    "method": "anil", "layers": [8, 16, 4], "ways": 5, "n_support": 5, "n_query": 5, "steps": 2,
}  # fmt: skip
WALK: dict[str, Any] = {
    "f": lambda x: (x**2).sum() / 2, "x0": [1.0, 2.0], "method": "mg", "steps": 5, "beta": 0.1,
}  # fmt: skip
POSITION = {**LANDSCAPE, "n": 25}


@pytest.mark.parametrize(
    ("function", "good", "bad", "word"),
    [
        (ji2020.anil_meta_gradient, META, {"steps": 2.5}, "whole number"),
        (ji2020.anil_meta_gradient, META, {"steps": -1}, "0 or more"),
        (ji2020.anil_meta_gradient, META, {"alpha": math.nan}, "finite"),
        (ji2020.anil_meta_gradient, META, {"head": [1.0, 2.0, 3.0]}, "head is list"),
        (ji2020.anil_meta_gradient, META, {"head": torch.ones(3, dtype=torch.int64)}, "int64"),
        (ji2020.anil_meta_gradient, META, {"body": VECTOR.to(torch.complex128)}, "complex"),
        (ji2020.anil_meta_gradient, META, {"inner_loss": torch.mul}, "inner_loss gave"),
        (ji2020.anil_meta_gradient, META, {"outer_loss": lambda w, phi: 1.0}, "outer_loss gave"),
        (ji2020.flops, COST, {"method": "MAML"}, "anil, maml, fomaml"),
        (ji2020.flops, COST, {"layers": [8]}, "two widths"),
        (ji2020.flops, COST, {"layers": [8, 2.5]}, "whole numbers"),
        (ji2020.flops, COST, {"layers": "ab"}, "two widths"),
        (ji2020.flops, COST, {"ways": 1.5}, "ways=1.5"),
        (ji2020.flops, COST, {"n_query": None}, "n_query=None"),
        (ji2020.flops, COST, {"steps": math.nan}, "whole number"),
        (flennerhag2023.optimise, WALK, {"steps": 2.5}, "whole number"),
        (flennerhag2023.optimise, WALK, {"beta": math.inf}, "finite"),
        (flennerhag2023.optimise, WALK, {"beta": -0.1}, "above 0"),
        (flennerhag2023.optimise, WALK, {"hint": math.nan}, "hint"),
        (flennerhag2023.optimise, WALK, {"w1": [1.0, 2.0, 3.0]}, "w1 has 3"),
        (flennerhag2023.optimise, WALK, {"x0": [math.nan]}, "finite"),
        (flennerhag2023.optimise, WALK, {"weights": "square"}, "constant"),
        (collins2022.positions, POSITION, {"dim": 2.5}, "whole number"),
        (collins2022.positions, POSITION, {"n": math.nan}, "at least one sample"),
        (collins2022.positions, POSITION, {"n": math.inf, "steps": 1.5}, "whole number"),
        (
            bernacchia2021.simulate_test_loss,
            {**RATES, **MODEL, "runs": 8, "seed": 0},
            {"seed": None},
            "seed",
        ),
    ],
)
def test_a_bad_argument_is_refused_in_a_sentence_that_names_it(
    function: Callable[..., Any], good: dict[str, Any], bad: dict[str, Any], word: str
) -> None:
    function(**good)
    with pytest.raises(ValueError, match=word) as refused:
        function(**{**good, **bad})
    assert len(str(refused.value)) > 25


@pytest.mark.parametrize(
    ("function", "positional"),
    [
        (ji2020.anil_meta_gradient, ["inner_loss", "outer_loss", "head", "body"]),
        (ji2020.flops, ["method"]),
        (flennerhag2023.optimise, ["f", "x0"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_everything_but_the_objects_acted_on_is_a_keyword(
    function: Callable[..., Any], positional: list[str]
) -> None:
    parameters = inspect.signature(function).parameters.values()
    free = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert free == positional
    assert {p.kind for p in parameters if p.name not in free} == {inspect.Parameter.KEYWORD_ONLY}

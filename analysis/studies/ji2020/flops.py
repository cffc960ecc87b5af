"""What one outer iteration costs: matrix products counted exactly, by formula.

Reverse-mode differentiation of a layer costs two products of the forward's size, one
for its weights and one for its input; a layer whose input needs no gradient saves one.
Counting through the inner loop and back gives, with ``F_b`` the body's and ``F_h`` the
head's forward cost and ``F_1`` the body's first layer, on the support (``s``) and the
query (``q``) rows::

    ANIL    6N·F_h(s)                      + 3F_b(s) − F_1(s)  + 3(F_b + F_h)(q) − F_1(q)
    MAML    N·(9(F_b + F_h)(s) − 5F_1(s))                      + 3(F_b + F_h)(q) − F_1(q)
    FOMAML  N·(3(F_b + F_h)(s) −  F_1(s))                      + 3(F_b + F_h)(q) − F_1(q)

ANIL runs the body once however many steps the head takes, so its slope in N is the
head's alone. The formulas equal what PyTorch's own counter reports, to the last
operation (claim C13 measures it each time).

The paper's: ANIL costs less than MAML, in gradient and second-order evaluations.
Derived here: the counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Literal, TypedDict, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from ....data.errors import ProbeError

Method = Literal["anil", "maml", "fomaml"]


class Shape(TypedDict):
    """The sizes that `flops` and `one_meta_gradient` take, as keyword arguments."""

    layers: Sequence[int]
    ways: int
    n_support: int
    n_query: int


@dataclass(frozen=True)
class Forward:
    """Floating-point operations of one forward pass over some rows.

    Args:
        body: The whole body.
        first: Its first layer, whose input (the data) needs no gradient.
        head: The linear head.
    """

    body: int
    first: int
    head: int

    @property
    def gradient(self) -> int:
        """Forward and backward: three products a layer, one less at the data."""
        return 3 * (self.body + self.head) - self.first


def flops(
    method: Method,
    *,
    layers: Sequence[int],
    ways: int,
    n_support: int,
    n_query: int,
    steps: int,
) -> int:
    """Floating-point operations of one meta-gradient of one task.

    The body is a bias-free ReLU network, the head linear without bias, the loss
    cross-entropy; products are counted as two operations a multiply-add and everything
    elementwise as free, which is PyTorch's convention.

    Args:
        method: ``"anil"``, ``"maml"`` or ``"fomaml"`` (the last drops second orders).
        layers: Widths ``[p, h1, …, d]`` of the body; at least two.
        ways: Classes, the head's outputs.
        n_support: Support rows in all.
        n_query: Query rows in all.
        steps: ``N``; with 0 no method touches the support and all three agree.

    Raises:
        ProbeError: An unknown method, fewer than two widths, or a size that is not a whole number
            or below its least.

    >>> def per_step(method):
    ...     a, b = (flops(method, layers=[64, 256, 256, 64], ways=5, n_support=25,
    ...                   n_query=75, steps=steps) for steps in (4, 5))
    ...     return b - a
    >>> per_step("anil"), per_step("maml"), per_step("fomaml")
    (96000, 40284800, 13974400)
    """
    _check(method, steps)
    widths = list(layers)
    if len(widths) < 2 or not all(_whole(w, least=1) for w in widths):
        raise ProbeError(
            f"layers={widths} is not a body; give at least two widths, whole numbers of 1 or more",
            code="layers",
        )
    for name, value in (("ways", ways), ("n_support", n_support), ("n_query", n_query)):
        if not _whole(value, least=1):
            raise ProbeError(f"{name}={value}; it must be a whole number of 1 or more", code=name)
    widths = [int(w) for w in widths]
    return meta_flops(
        method,
        support=_forward(widths, int(ways), int(n_support)),
        query=_forward(widths, int(ways), int(n_query)),
        steps=int(steps),
    )


def meta_flops(method: Method, *, support: Forward, query: Forward, steps: int) -> int:
    """`flops` of any body, from its forward costs (see `measure_forward`).

    Raises:
        ProbeError: An unknown method or a negative number of steps.
    """
    _check(method, steps)
    if steps == 0:
        return query.gradient
    if method == "anil":
        return 6 * steps * support.head + 3 * support.body - support.first + query.gradient
    if method == "maml":
        step = 9 * (support.body + support.head) - 5 * support.first
        return steps * step + query.gradient
    return steps * support.gradient + query.gradient


def measure_forward(body: nn.Module, images: Tensor, *, ways: int) -> Forward:
    """Forward costs of a body as PyTorch counts them, for convolutional bodies too.

    Args:
        body: Images ``(n, …)`` to features ``(n, d)``.
        images: One batch.
        ways: Outputs of a bias-free linear head on the features.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        width = body(images).shape[-1]
    counts = counter.get_flop_counts()
    names = [name for name, m in body.named_modules() if not list(m.children())]
    leaves = [sum(counts.get(f"{type(body).__name__}.{name}", {}).values()) for name in names]
    total = counter.get_total_flops()
    first = next((cost for cost in leaves if cost), total)
    return Forward(body=total, first=first, head=2 * len(images) * width * ways)


def counted(computation: Callable[[], object]) -> int:
    """Floating-point operations that PyTorch itself counts while something runs."""
    with FlopCounterMode(display=False) as counter:
        computation()
    return int(counter.get_total_flops())


@dataclass(frozen=True)
class Products:
    """Evaluations per task and outer iteration, the paper's unit of cost.

    Args:
        inner_gradients: First-order gradients of the support loss.
        second_order: Hessian-vector and mixed products.
        outer_gradients: Gradients of the query loss (head and body counted apart for
            ANIL, whose two parts have different sizes).
        stored: Numbers kept for the backward recursion.
    """

    inner_gradients: int
    second_order: int
    outer_gradients: int
    stored: int


def products(method: Method, *, steps: int, head: int, body: int) -> Products:
    """Evaluations and memory of one task's meta-gradient.

    Args:
        method: ``"anil"``, ``"maml"`` or ``"fomaml"``.
        steps: ``N``.
        head: Parameters of the head.
        body: Parameters of the body.

    Raises:
        ProbeError: An unknown method or a negative number of steps.
    """
    _check(method, steps)
    if method == "anil":
        return Products(steps, 2 * steps, 2, steps * head)
    if method == "maml":
        return Products(steps, steps, 1, steps * (head + body))
    return Products(steps, 0, 1, head + body)


def one_meta_gradient(
    method: Method,
    *,
    layers: Sequence[int],
    ways: int,
    n_support: int,
    n_query: int,
    steps: int,
    seed: int,
) -> Callable[[], object]:
    """A plain implementation of each method on random data, to be counted.

    It shares nothing with the formulas: it differentiates the unrolled inner loop.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def labels(rows: int) -> Tensor:
        return torch.randint(ways, (rows,), generator=generator)

    body = [normal(a, b).requires_grad_() for a, b in pairwise(layers)]
    head = normal(layers[-1], ways).requires_grad_()
    x, y, xq, yq = (
        normal(n_support, layers[0]), labels(n_support), normal(n_query, layers[0]), labels(n_query)
    )  # fmt: skip

    def through(weights: Sequence[Tensor], rows: Tensor) -> Tensor:
        for weight in weights:
            rows = torch.relu(rows @ weight)
        return rows

    def anil() -> object:
        w = head
        h = through(body, x) if steps else x
        for _ in range(steps):
            (slope,) = torch.autograd.grad(cross_entropy(h @ w, y), w, create_graph=True)
            w = w - 0.1 * slope
        return torch.autograd.grad(cross_entropy(through(body, xq) @ w, yq), [head, *body])

    def maml() -> object:
        start = [*body, head]
        now: list[Tensor] = start
        for _ in range(steps):
            loss = cross_entropy(through(now[:-1], x) @ now[-1], y)
            slopes = torch.autograd.grad(loss, now, create_graph=method == "maml")
            now = [a - 0.1 * s for a, s in zip(now, slopes, strict=True)]
            if method == "fomaml":
                now = [a.detach().requires_grad_() for a in now]
        loss = cross_entropy(through(now[:-1], xq) @ now[-1], yq)
        return torch.autograd.grad(loss, start if method == "maml" else now)

    return anil if method == "anil" else maml


def _forward(layers: Sequence[int], ways: int, rows: int) -> Forward:
    body = [2 * rows * a * b for a, b in pairwise(layers)]
    return Forward(body=sum(body), first=body[0], head=2 * rows * layers[-1] * ways)


def _check(method: str, steps: int) -> None:
    if method not in get_args(Method):
        raise ProbeError(
            f"method {method!r} is not known; choose one of {', '.join(get_args(Method))}",
            code="method",
        )
    if not _whole(steps, least=0):
        raise ProbeError(
            f"{steps} inner steps asked; a whole number of 0 or more is possible", code="steps"
        )


def _whole(value: object, *, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least

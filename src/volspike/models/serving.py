"""Serve one row at a time: the entry points of prediction that take plain numbers and one address.

Numba looks at the type of every argument of a call, and counts references to arrays; for tuples of arrays
that takes longer than the prediction. So a model lies behind one table of addresses, and types are known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import carray, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

from volspike import jit
from volspike.jit import direct, entry, inlined, keyed_by, sources_digest
from volspike.labels.trailing import Context
from volspike.models import kernels
from volspike.models.kernels import (
    CONTEXT_FIELDS,
    Line,
    Served,
    Trees,
    blend_row,
    boosted_row,
    finish,
    linear_row,
    outside,
    state_row,
)

F4 = npt.NDArray[np.float32]
F8 = npt.NDArray[np.float64]
I1 = npt.NDArray[np.int8]
I4 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int64]
Values = tuple[float, ...]
Bounds = tuple[F8, F8]  # lowest and highest of each input
Serve = Callable[..., Served]  # (table address, feature values, context) or (table address, context)

_CONTEXT = "Tuple((float64, float64, UniTuple(float64, 4), float64, float64, boolean))"
_SERVED = "UniTuple(float64, 5)"
_SHAPE_WORDS = 3  # address, rows, columns
# The first entries of every table.
_ROW, _LINE, _LOW, _HIGH, _NUMBERS, _FIRST = range(6)


class Table:
    """What a model is made of, behind one address; it serves one thread.

    An entry is three integers: an array's address, its rows and its columns. The entries are the raw row, the
    line, the lowest and the highest of each input (none: no bounds), the scalars, then the model's arrays.

    Parameters
    ----------
    width : int
        Number of feature values in the raw row.
    line : Line
        What finishes a prediction.
    bounds : Bounds
        Inputs beyond them are counted.
    numbers : sequence of float
        The model's scalars.
    arrays : sequence of ndarray
        The model's arrays and scratch, C-contiguous, in the types and the order that its entry point reads.

    Attributes
    ----------
    address : int
        Of the table.
    """

    def __init__(
        self,
        width: int,
        line: Line,
        bounds: Bounds,
        numbers: Sequence[float],
        arrays: Sequence[npt.NDArray[Any]],
    ) -> None:
        row = np.zeros(width + CONTEXT_FIELDS)
        self._arrays = (row, np.array(line), *bounds, np.array(numbers, np.float64), *arrays)
        places = [(array.ctypes.data, len(array), array[:1].size) for array in self._arrays]
        self._places = np.array(places, np.int64)
        self.address: int = self._places.ctypes.data


def _pointer(typing_context: Any, address: Any) -> tuple[Any, Any]:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), codegen


_typed: Callable[[Any], Callable[[int], Any]] = intrinsic
_at = _typed(_pointer)


@inlined
def _place(table: int, index: int) -> I8:
    place: I8 = carray(_at(table + 8 * _SHAPE_WORDS * index), _SHAPE_WORDS, np.int64)
    return place


def _vector_of(kind: Any) -> Callable[[int, int], Any]:
    """Return what gives an array of one type by its place in a table."""

    @inlined
    def vector(table: int, index: int) -> Any:
        place = _place(table, index)
        return carray(_at(place[0]), place[1], kind)

    return vector


_doubles: Callable[[int, int], F8] = _vector_of(np.float64)
_floats: Callable[[int, int], F4] = _vector_of(np.float32)
_ints: Callable[[int, int], I4] = _vector_of(np.int32)
_codes: Callable[[int, int], I1] = _vector_of(np.int8)


@inlined
def _matrix(table: int, index: int) -> F8:
    place = _place(table, index)
    view: F8 = carray(_at(place[0]), (place[1], place[2]), np.float64)
    return view


@inlined
def _context_row(table: int, context: Context) -> F8:
    """Return the raw row with the context in it; feature values stand before it."""
    row = _doubles(table, _ROW)
    at = row.shape[0] - CONTEXT_FIELDS
    row[at], row[at + 1] = context[0], context[1]
    for lag in range(4):
        row[at + 2 + lag] = context[2][lag]
    row[at + 6], row[at + 7] = context[3], context[4]
    return row


@inlined
def _full_row(table: int, values: Values, context: Context) -> F8:
    row = _context_row(table, context)
    for i in range(len(values)):
        row[i] = values[i]
    return row


@inlined
def _transforms(table: int) -> tuple[I4, I1, I1]:
    """Return the columns, transforms and steps of the inputs; they come first in a model that has inputs."""
    return _ints(table, _FIRST), _codes(table, _FIRST + 1), _codes(table, _FIRST + 2)


@inlined
def _trees(table: int, index: int, depth: float, base: float) -> Trees:
    """Return an ensemble whose three arrays begin at an index of the table."""
    feature, threshold, leaf = _ints(table, index), _floats(table, index + 1), _floats(table, index + 2)
    return feature, threshold, leaf, int(depth), np.float32(base)


@inlined
def _finished(table: int, heads: tuple[float, float], inputs: F8) -> Served:
    """Return the prediction of the two heads, and how many of the inputs they had are out of bounds."""
    margin, log_sigma = heads
    line = _doubles(table, _LINE)
    p, sigma, low, high = finish(margin, log_sigma, line[0], line[1], line[2], line[3], line[4], line[5])
    return p, sigma, low, high, outside(inputs, _doubles(table, _LOW), _doubles(table, _HIGH))


@cache
def serve_state() -> Serve:
    """Return the entry point of a rule on the state: (table address, context)."""
    digest = sources_digest(kernels, jit)

    @entry(f"{_SERVED}(int64, {_CONTEXT})")
    def serve(table: int, context: Context) -> Served:
        keyed_by(digest)
        row, numbers = _context_row(table, context), _doubles(table, _NUMBERS)
        shares, weights = _doubles(table, _FIRST), _matrix(table, _FIRST + 1)
        out = _doubles(table, _FIRST + 2)
        heads = state_row(row, shares, numbers[0], numbers[1], numbers[2], numbers[3], weights, out)
        return _finished(table, heads, out)

    return direct(serve)


@cache
def serve_linear(width: int) -> Serve:
    """Return the entry point of a linear model: (table address, ``width`` values, context)."""
    digest = sources_digest(kernels, jit)

    @entry(f"{_SERVED}(int64, UniTuple(float64, {width}), {_CONTEXT})")
    def serve(table: int, values: Values, context: Context) -> Served:
        keyed_by(digest)
        row, numbers = _full_row(table, values, context), _doubles(table, _NUMBERS)
        columns, transforms, steps = _transforms(table)
        weights, out = _matrix(table, _FIRST + 3), _doubles(table, _FIRST + 4)
        heads = linear_row(row, columns, transforms, steps, numbers[0], weights, out)
        return _finished(table, heads, out)

    return direct(serve)


@cache
def serve_boosted(width: int) -> Serve:
    """Return the entry point of a boosted model: (table address, ``width`` values, context)."""
    digest = sources_digest(kernels, jit)

    @entry(f"{_SERVED}(int64, UniTuple(float64, {width}), {_CONTEXT})")
    def serve(table: int, values: Values, context: Context) -> Served:
        keyed_by(digest)
        row, numbers = _full_row(table, values, context), _doubles(table, _NUMBERS)
        columns, transforms, steps = _transforms(table)
        inputs = (columns, transforms, steps, numbers[0])
        out, twice = _doubles(table, _FIRST + 3), _floats(table, _FIRST + 4)
        classifier = _trees(table, _FIRST + 5, numbers[1], numbers[2])
        sigma = _trees(table, _FIRST + 8, numbers[3], numbers[4])
        heads = boosted_row(row, inputs, out, twice, classifier, sigma)
        return _finished(table, heads, out)

    return direct(serve)


@cache
def serve_blend(width: int) -> Serve:
    """Return the entry point of a blend: (table address, ``width`` values, context)."""
    digest = sources_digest(kernels, jit)

    @entry(f"{_SERVED}(int64, UniTuple(float64, {width}), {_CONTEXT})")
    def serve(table: int, values: Values, context: Context) -> Served:
        keyed_by(digest)
        row, numbers = _full_row(table, values, context), _doubles(table, _NUMBERS)
        columns, transforms, steps = _transforms(table)
        inputs = (columns, transforms, steps, numbers[0])
        out, twice = _doubles(table, _FIRST + 3), _floats(table, _FIRST + 4)
        classifier = _trees(table, _FIRST + 5, numbers[1], numbers[2])
        sigma = _trees(table, _FIRST + 8, numbers[3], numbers[4])
        weights, shares = _matrix(table, _FIRST + 11), _doubles(table, _FIRST + 12)
        heads = blend_row(row, inputs, weights, shares, out, twice, classifier, sigma)
        return _finished(table, heads, out)

    return direct(serve)

"""Raw bytes for compiled code: unaligned loads, and eight characters looked at in one word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_BYTE, _WORD = ir.IntType(8), ir.IntType(64)

F = TypeVar("F", bound=Callable[..., Any])


def compiled(signature: str | None = None, **options: bool) -> Callable[[F], F]:
    """Return a typed ``njit``, cached on disk."""
    compiler: Any = njit
    decorator = compiler(signature, cache=True, **options)

    def decorate(function: F) -> F:
        result: F = decorator(function)
        return result

    return decorate


def _load_word(typing_context: Any, address: Any) -> tuple[Any, Any]:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], _WORD.as_pointer())
        return builder.load(place, align=1)

    return types.uint64(types.int64), codegen


def _load_byte(typing_context: Any, address: Any) -> tuple[Any, Any]:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], _BYTE.as_pointer())
        return builder.zext(builder.load(place, align=1), _WORD)

    return types.int64(types.int64), codegen


def _load(typing_context: Any, address: Any, index: Any) -> tuple[Any, Any]:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.gep(builder.inttoptr(args[0], _WORD.as_pointer()), [args[1]]))

    return types.int64(types.int64, types.int64), codegen


def _store(typing_context: Any, address: Any, index: Any, value: Any) -> tuple[Any, Any]:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], builder.gep(builder.inttoptr(args[0], _WORD.as_pointer()), [args[1]]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


def _count_trailing_zeros(typing_context: Any, word: Any) -> tuple[Any, Any]:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


_typed: Callable[[Any], Callable[..., Any]] = intrinsic
word_at: Callable[[int], Any] = _typed(_load_word)
byte_at: Callable[[int], int] = _typed(_load_byte)
load: Callable[[int, int], int] = _typed(_load)
store: Callable[[int, int, int], None] = _typed(_store)
trailing_zeros: Callable[[Any], int] = _typed(_count_trailing_zeros)

_EACH = 0x0101010101010101
_ONES = np.uint64(_EACH)
_TOPS = np.uint64(_EACH * 0x80)
_QUOTES = np.uint64(_EACH * 0x22)
_BACKSLASHES = np.uint64(_EACH * 0x5C)
_SPACES = np.uint64(_EACH * 0x20)
_UPPER_HALVES = np.uint64(_EACH * 0xF0)
_LOWER_HALVES = np.uint64(_EACH * 0x0F)
_ZEROS = np.uint64(_EACH * 0x30)
_SIXES = np.uint64(_EACH * 0x06)
_PAIRS, _PAIR_MASK = np.uint64(2561), np.uint64(0x00FF00FF00FF00FF)
_FOURS, _FOUR_MASK = np.uint64(6553601), np.uint64(0x0000FFFF0000FFFF)
_EIGHTS = np.uint64(42949672960001)
_U0, _U8, _U16, _U32 = np.uint64(0), np.uint64(8), np.uint64(16), np.uint64(32)


@compiled(forceinline=True)
def plain_length(word: Any) -> int:
    """Return how many of a word's eight characters, from the first, a plain string may hold.

    That is printable ASCII but quote and backslash. The lowest mark is exact: a borrow marks only what lies
    above a true mark.
    """
    quote, backslash = word ^ _QUOTES, word ^ _BACKSLASHES
    marks = (quote - _ONES) & ~quote
    marks |= (backslash - _ONES) & ~backslash
    marks |= (word - _SPACES) & ~word
    marks = (marks | word) & _TOPS
    return 8 if marks == _U0 else trailing_zeros(marks) >> 3


@compiled(forceinline=True)
def digit_length(word: Any) -> int:
    """Return how many of a word's eight characters, from the first, are decimal digits."""
    marks = (word & _UPPER_HALVES) ^ _ZEROS
    marks |= ((word + _SIXES) & _UPPER_HALVES) ^ _ZEROS
    return 8 if marks == _U0 else trailing_zeros(marks) >> 3


@compiled(forceinline=True)
def digits_value(word: Any, length: int) -> int:
    """Return the number that the first ``length`` (1 to 8) characters of a word write."""
    word = (word << np.uint64(64 - 8 * length)) & _LOWER_HALVES
    word = ((word * _PAIRS) >> _U8) & _PAIR_MASK
    word = ((word * _FOURS) >> _U16) & _FOUR_MASK
    return np.int64((word * _EIGHTS) >> _U32)  # type: ignore[return-value]

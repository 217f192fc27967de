"""Raw bytes for compiled code: unaligned loads, and thirty-two characters looked at in one go.

Vectors are those of LLVM, so that every processor has them. Addresses are plain integers; who calls answers
for ``SPAN`` readable bytes behind each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from volspike.jit import inlined

SPAN = 32  # characters of a vector

_BYTE, _WORD, _SPAN_BITS = ir.IntType(8), ir.IntType(64), ir.IntType(SPAN)
_VECTOR = ir.VectorType(_BYTE, SPAN)

Build = Callable[[Any, Any], Any]  # of a builder and the operands


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


def _vector(builder: Any, address: Any) -> Any:
    return builder.load(builder.inttoptr(address, _VECTOR.as_pointer()), align=1)


def _each(character: int) -> Any:
    return ir.Constant(_VECTOR, [character] * SPAN)


def _marks(build: Build) -> Callable[..., Any]:
    """Return what marks, in the low bits of a word, characters at an address for which ``build`` holds."""

    def typed(typing_context: Any, address: Any) -> tuple[Any, Any]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            marks = build(builder, _vector(builder, args[0]))
            return builder.zext(builder.bitcast(marks, _SPAN_BITS), _WORD)

        return types.uint64(types.int64), codegen

    return typed


def _is_special(builder: Any, text: Any) -> Any:
    """Anything but what a plain string holds; bytes from 128 on are negative."""
    quote = builder.icmp_unsigned("==", text, _each(0x22))
    backslash = builder.icmp_unsigned("==", text, _each(0x5C))
    return builder.or_(builder.icmp_signed("<", text, _each(0x20)), builder.or_(quote, backslash))


def _is_no_digit(builder: Any, text: Any) -> Any:
    return builder.icmp_unsigned(">", builder.sub(text, _each(0x30)), _each(9))


def _is_no_decimal(builder: Any, text: Any) -> Any:
    point = builder.icmp_unsigned("!=", text, _each(0x2E))
    return builder.and_(_is_no_digit(builder, text), point)


def _differ(typing_context: Any, address: Any, other: Any) -> tuple[Any, Any]:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        marks = builder.icmp_unsigned("!=", _vector(builder, args[0]), _vector(builder, args[1]))
        return builder.zext(builder.bitcast(marks, _SPAN_BITS), _WORD)

    return types.uint64(types.int64, types.int64), codegen


def _copy(typing_context: Any, source: Any, target: Any) -> tuple[Any, Any]:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[1], _VECTOR.as_pointer())
        builder.store(_vector(builder, args[0]), place, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


_typed: Callable[[Any], Callable[..., Any]] = intrinsic
word_at: Callable[[int], Any] = _typed(_load_word)
byte_at: Callable[[int], int] = _typed(_load_byte)
load: Callable[[int, int], int] = _typed(_load)
store: Callable[[int, int, int], None] = _typed(_store)
trailing_zeros: Callable[[Any], int] = _typed(_count_trailing_zeros)
special_marks: Callable[[int], Any] = _typed(_marks(_is_special))
no_digit_marks: Callable[[int], Any] = _typed(_marks(_is_no_digit))
no_decimal_marks: Callable[[int], Any] = _typed(_marks(_is_no_decimal))
differing: Callable[[int, int], Any] = _typed(_differ)
copy_span: Callable[[int, int], None] = _typed(_copy)

_LOWER_HALVES = np.uint64(0x0F0F0F0F0F0F0F0F)
_PAIRS, _PAIR_MASK = np.uint64(2561), np.uint64(0x00FF00FF00FF00FF)
_FOURS, _FOUR_MASK = np.uint64(6553601), np.uint64(0x0000FFFF0000FFFF)
_EIGHTS = np.uint64(42949672960001)
_U8, _U16, _U32 = np.uint64(8), np.uint64(16), np.uint64(32)


@inlined
def signed(word: Any) -> int:
    """Return an unsigned word as a signed one; the two in one expression would become a float."""
    return np.int64(word)  # type: ignore[return-value]


@inlined
def digits_value(word: Any, length: int) -> int:
    """Return the number that the first ``length`` (1 to 8) characters of a word write."""
    word = (word << np.uint64(64 - 8 * length)) & _LOWER_HALVES
    word = ((word * _PAIRS) >> _U8) & _PAIR_MASK
    word = ((word * _FOURS) >> _U16) & _FOUR_MASK
    return signed((word * _EIGHTS) >> _U32)

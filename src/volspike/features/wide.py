"""Integers of 128 and 192 bits for compiled code, as tuples of int64 words, lowest first; raw memory.

LLVM adds and multiplies integers of any width; numba has none above 64 bits, so these intrinsics emit them.
Words are the two's complement of the whole number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from volspike.features.fixedpoint import WORD
from volspike.features.memory import AHEAD

_WORD, _INT32 = ir.IntType(64), ir.IntType(32)
_DOUBLE = ir.DoubleType()
_WIDEST = ir.IntType(192)

_tuple_of: Any = types.UniTuple
_Build = Callable[[Any, Any], Any]
_Operation = Callable[[Any, Any, Any], Any]  # of a builder and two operands


def _join(builder: Any, words: Any, kind: ir.IntType) -> Any:
    value = builder.zext(words[0], kind)
    for i, word in enumerate(words[1:], start=1):
        value = builder.or_(value, builder.shl(builder.zext(word, kind), kind(64 * i)))
    return value


def _split(builder: Any, value: Any) -> list[Any]:
    kind = value.type
    shifts = range(0, kind.width, 64)
    return [builder.trunc(builder.lshr(value, kind(shift)), _WORD) for shift in shifts]


def _square(builder: Any, q: Any, kind: ir.IntType) -> Any:
    # Squared at 128 bits, where one machine multiplication does it.
    wide = builder.sext(q, ir.IntType(128))
    square = builder.mul(wide, wide)
    return square if kind.width == 128 else builder.zext(square, kind)


def _float(builder: Any, magnitude: Any) -> Any:
    words = [builder.uitofp(word, _DOUBLE) for word in _split(builder, magnitude)]
    value = words[-1]
    for word in reversed(words[:-1]):
        value = builder.fadd(builder.fmul(value, _DOUBLE(WORD)), word)
    return value


def _place(builder: Any, args: Any) -> Any:
    return builder.gep(builder.inttoptr(args[0], _WORD.as_pointer()), [args[1]])


def _typed(build: _Build, words: int, arguments: int, result: Any = types.float64) -> tuple[Any, Any]:
    """Return signature and code generator; ``words`` of 0 stands for a scalar result."""
    if words:
        result = _tuple_of(types.int64, words)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = build(builder, args)
        if not words:
            return value
        return context.make_tuple(builder, signature.return_type, _split(builder, value))

    return result(*[types.int64] * arguments), codegen


def _changed(operation: _Operation, widened: _Operation) -> Callable[..., tuple[Any, Any]]:
    """Return what adds a widened word to 128 bits, or subtracts it."""

    def typed(typing_context: Any, low: Any, high: Any, x: Any) -> tuple[Any, Any]:
        def build(builder: Any, args: Any) -> Any:
            kind = ir.IntType(128)
            return operation(builder, _join(builder, args[:2], kind), widened(builder, args[2], kind))

        return _typed(build, words=2, arguments=3)

    return typed


def _add_square3(typing_context: Any, low: Any, middle: Any, high: Any, q: Any) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        return builder.add(_join(builder, args[:3], _WIDEST), _square(builder, args[3], _WIDEST))

    return _typed(build, words=3, arguments=4)


def _subtract_square3(typing_context: Any, low: Any, middle: Any, high: Any, q: Any) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        return builder.sub(_join(builder, args[:3], _WIDEST), _square(builder, args[3], _WIDEST))

    return _typed(build, words=3, arguments=4)


def _add_product3(typing_context: Any, low: Any, middle: Any, high: Any, a: Any, b: Any) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        one, other = (builder.sext(word, ir.IntType(128)) for word in args[3:])
        product = builder.sext(builder.mul(one, other), _WIDEST)
        return builder.add(_join(builder, args[:3], _WIDEST), product)

    return _typed(build, words=3, arguments=5)


def _signed_float(typing_context: Any, low: Any, high: Any) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        value = _join(builder, args, ir.IntType(128))
        negative = builder.icmp_signed("<", value, value.type(0))
        magnitude = _float(builder, builder.select(negative, builder.neg(value), value))
        return builder.select(negative, builder.fneg(magnitude), magnitude)

    return _typed(build, words=0, arguments=2)


def _unsigned_float(typing_context: Any, low: Any, high: Any) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        return _float(builder, _join(builder, args, ir.IntType(128)))

    return _typed(build, words=0, arguments=2)


def _dispersion_float(
    typing_context: Any, k: Any, low: Any, middle: Any, high: Any, sum_low: Any, sum_high: Any
) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        squares = builder.mul(builder.zext(args[0], _WIDEST), _join(builder, args[1:4], _WIDEST))
        total = builder.sext(_join(builder, args[4:6], ir.IntType(128)), _WIDEST)
        return _float(builder, builder.sub(squares, builder.mul(total, total)))

    return _typed(build, words=0, arguments=6)


def _difference_float3(
    typing_context: Any, low: Any, middle: Any, high: Any, low2: Any, middle2: Any, high2: Any
) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        return _float(
            builder, builder.sub(_join(builder, args[:3], _WIDEST), _join(builder, args[3:], _WIDEST))
        )

    return _typed(build, words=0, arguments=6)


def _subtract_words(typing_context: Any, low: Any, high: Any, low2: Any, high2: Any) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        kind = ir.IntType(128)
        return builder.sub(_join(builder, args[:2], kind), _join(builder, args[2:], kind))

    return _typed(build, words=2, arguments=4)


def _dispersion_words(typing_context: Any, k: Any, low: Any, high: Any, q: Any) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        kind = ir.IntType(128)
        squares = builder.mul(builder.zext(args[0], kind), _join(builder, args[1:3], kind))
        return builder.sub(squares, _square(builder, args[3], kind))

    return _typed(build, words=2, arguments=4)


def _natural_float(typing_context: Any, word: Any) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        return builder.uitofp(args[0], _DOUBLE)

    return _typed(build, words=0, arguments=1)


def _count_to(typing_context: Any, address: Any, index: Any, limit: Any) -> tuple[Any, Any]:
    kind = ir.VectorType(_WORD, AHEAD)

    def build(builder: Any, args: Any) -> Any:
        words = builder.load(builder.bitcast(_place(builder, args), kind.as_pointer()), align=8)
        limit = ir.Constant(kind, ir.Undefined)
        for lane in range(AHEAD):
            limit = builder.insert_element(limit, args[2], _INT32(lane))
        below = builder.bitcast(builder.icmp_signed("<=", words, limit), ir.IntType(AHEAD))
        return builder.zext(builder.ctpop(below), _WORD)

    return _typed(build, words=0, arguments=3, result=types.int64)


def _load(typing_context: Any, address: Any, index: Any) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        return builder.load(_place(builder, args))

    return _typed(build, words=0, arguments=2, result=types.int64)


def _load_float(typing_context: Any, address: Any, index: Any) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        return builder.bitcast(builder.load(_place(builder, args)), _DOUBLE)

    return _typed(build, words=0, arguments=2)


def _store(typing_context: Any, address: Any, index: Any, word: Any) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        builder.store(args[2], _place(builder, args))
        return args[2]

    return _typed(build, words=0, arguments=3, result=types.int64)


def _store_float(typing_context: Any, address: Any, index: Any, value: Any) -> tuple[Any, Any]:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(builder.bitcast(args[2], _WORD), _place(builder, args))
        return args[2]

    return types.float64(types.int64, types.int64, types.float64), codegen


def _store_int32(typing_context: Any, address: Any, index: Any, word: Any) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        place = builder.gep(builder.inttoptr(args[0], _INT32.as_pointer()), [args[1]])
        builder.store(builder.trunc(args[2], _INT32), place)
        return args[2]

    return _typed(build, words=0, arguments=3, result=types.int64)


def _load_int32(typing_context: Any, address: Any, index: Any) -> tuple[Any, Any]:
    def build(builder: Any, args: Any) -> Any:
        place = builder.gep(builder.inttoptr(args[0], _INT32.as_pointer()), [args[1]])
        return builder.sext(builder.load(place), _WORD)

    return _typed(build, words=0, arguments=2, result=types.int64)


_emitted: Any = intrinsic
_ADD, _SUBTRACT = ir.IRBuilder.add, ir.IRBuilder.sub
_SIGNED, _NATURAL = ir.IRBuilder.sext, ir.IRBuilder.zext

# (low, high, x) -> (low, high): the sum of a 128-bit and a 64-bit integer.
add: Callable[[int, int, int], tuple[int, int]] = _emitted(_changed(_ADD, _SIGNED))
subtract: Callable[[int, int, int], tuple[int, int]] = _emitted(_changed(_SUBTRACT, _SIGNED))
# The same where x is not negative, which saves its sign.
add_natural: Callable[[int, int, int], tuple[int, int]] = _emitted(_changed(_ADD, _NATURAL))
subtract_natural: Callable[[int, int, int], tuple[int, int]] = _emitted(_changed(_SUBTRACT, _NATURAL))
# (low, high, q) -> (low, high): 128 bits plus, or minus, the square of q.
add_square: Callable[[int, int, int], tuple[int, int]] = _emitted(_changed(_ADD, _square))
subtract_square: Callable[[int, int, int], tuple[int, int]] = _emitted(_changed(_SUBTRACT, _square))
# (low, middle, high, q) -> (low, middle, high): the same at 192 bits.
add_square3: Callable[[int, int, int, int], tuple[int, int, int]] = _emitted(_add_square3)
subtract_square3: Callable[[int, int, int, int], tuple[int, int, int]] = _emitted(_subtract_square3)
# (low, middle, high, a, b) -> (low, middle, high): 192 bits plus the product of a and b.
add_product3: Callable[[int, int, int, int, int], tuple[int, int, int]] = _emitted(_add_product3)
# (low, high) -> float64 of a signed 128-bit integer, as ``fixedpoint.wide_to_float``.
signed_float: Callable[[int, int], float] = _emitted(_signed_float)
# (low, high) -> the same of an unsigned one.
unsigned_float: Callable[[int, int], float] = _emitted(_unsigned_float)
# (k, qq low, middle, high, q low, high) -> float64 of k * qq - q * q.
dispersion_float: Callable[[int, int, int, int, int, int], float] = _emitted(_dispersion_float)

# (low, middle, high, low, middle, high) -> float64 of the difference, which is not negative.
difference_float3: Callable[[int, int, int, int, int, int], float] = _emitted(_difference_float3)

# (low, high, low, high) -> (low, high): the difference modulo 2**128.
subtract_words: Callable[[int, int, int, int], tuple[int, int]] = _emitted(_subtract_words)
# (k, qq low, high, q) -> (low, high) of k * qq - q * q modulo 2**128.
dispersion_words: Callable[[int, int, int, int], tuple[int, int]] = _emitted(_dispersion_words)
# word -> float64 of it as an unsigned integer.
natural_float: Callable[[int], float] = _emitted(_natural_float)

# (address, index) -> word, and (address, index, word) -> word: the int64 array at a raw address. An array
# argument would be reference-counted at every call.
load: Callable[[int, int], int] = _emitted(_load)
load_float: Callable[[int, int], float] = _emitted(_load_float)
store: Callable[[int, int, int], int] = _emitted(_store)
store_float: Callable[[int, int, float], float] = _emitted(_store_float)
# The same of the int32 array at an address.
load_int32: Callable[[int, int], int] = _emitted(_load_int32)
store_int32: Callable[[int, int, int], int] = _emitted(_store_int32)
# (address, index, limit) -> how many of the AHEAD words from there are at most the limit.
count_to: Callable[[int, int, int], int] = _emitted(_count_to)

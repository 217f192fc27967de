"""The CRC-32 of a text in compiled code: the one that zlib computes, several times faster.

It is folded by carry-less multiplication (V. Gopal et al., "Fast CRC Computation for Generic Polynomials
Using PCLMULQDQ Instruction", Intel, 2009); where the processor has none, tables take eight bytes at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from volspike.jit import inlined, part
from volspike.recording.wire_bytes import signed, store, word_at

ROOM = 64  # zero bytes before a text
_BLOCK = 64

_POLYNOMIAL = 0xEDB88320
_U8, _LOW_BYTE, _LOW_HALF = np.uint64(8), np.uint64(0xFF), np.uint64(0xFFFFFFFF)

# Powers of x modulo the polynomial, bits in reverse: they carry a remainder over 64 bytes, over 16, over the
# last eight and four; then quotient and modulus of Barrett's reduction.
_OVER_64 = (0x154442BD4, 0x1C6E41596)
_OVER_16 = (0x1751997D0, 0x0CCAA009E)
_OVER_8, _OVER_4 = 0x0CCAA009E, 0x163CD6124
_QUOTIENT, _MODULUS = 0x1F7011641, 0x1DB710641

_cgutils: Any = cgutils  # it has no types
_KIND, _WORD, _WIDE = ir.IntType(8), ir.IntType(64), ir.IntType(128)
_PAIR = ir.VectorType(_WORD, 2)


def _product(builder: Any, pair: Any, factors: tuple[int, int], halves: int) -> Any:
    """Multiply without carries the low halves (0x00) or the high ones (0x11) of a pair and two factors."""
    signature = ir.FunctionType(_PAIR, [_PAIR, _PAIR, _KIND])
    multiply = _cgutils.get_or_insert_function(builder.module, signature, "llvm.x86.pclmulqdq")
    return builder.call(multiply, [pair, ir.Constant(_PAIR, factors), ir.Constant(_KIND, halves)])


def _carried(builder: Any, rest: Any, powers: tuple[int, int], text: Any) -> Any:
    """Carry a remainder on, and add the text that stands there."""
    low, high = (_product(builder, rest, powers, halves) for halves in (0x00, 0x11))
    return builder.xor(builder.xor(low, high), text)


def _reduced(builder: Any, rest: Any) -> Any:
    """Return what remains of 16 bytes."""

    def times(value: Any, factor: int) -> Any:
        return builder.bitcast(_product(builder, builder.bitcast(value, _PAIR), (factor, 0), 0x00), _WIDE)

    def shifted(value: Any, bits: int) -> Any:
        return builder.lshr(value, ir.Constant(_WIDE, bits))

    def low(value: Any) -> Any:
        return builder.and_(value, ir.Constant(_WIDE, 0xFFFFFFFF))

    rest = builder.bitcast(rest, _WIDE)
    rest = builder.xor(shifted(rest, 64), times(rest, _OVER_8))
    rest = builder.xor(shifted(rest, 32), times(low(rest), _OVER_4))
    quotient = low(times(low(rest), _QUOTIENT))
    rest = builder.xor(rest, times(quotient, _MODULUS))
    return builder.trunc(low(shifted(rest, 32)), _WORD)


def _fold(typing_context: Any, first: Any, blocks: Any) -> tuple[Any, Any]:
    """Return what remains of blocks, given by the address of the first one."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def text(block: Any, lane: int) -> Any:
            at = builder.add(builder.shl(block, ir.Constant(_WORD, 6)), ir.Constant(_WORD, 16 * lane))
            return builder.load(builder.inttoptr(builder.add(args[0], at), _PAIR.as_pointer()), align=1)

        one = ir.Constant(_WORD, 1)
        lanes = [_cgutils.alloca_once_value(builder, text(ir.Constant(_WORD, 0), i)) for i in range(4)]
        with _cgutils.for_range(builder, builder.sub(args[1], one)) as loop:
            block = builder.add(loop.index, one)
            for i, lane in enumerate(lanes):
                builder.store(_carried(builder, builder.load(lane), _OVER_64, text(block, i)), lane)
        rest = builder.load(lanes[0])
        for lane in lanes[1:]:
            rest = _carried(builder, rest, _OVER_16, builder.load(lane))
        return _reduced(builder, rest)

    return types.int64(types.int64, types.int64), codegen


_typed: Callable[[Any], Callable[..., Any]] = intrinsic
_fold_blocks: Callable[[int, int], int] = _typed(_fold)


@inlined
def folded(start: int, stop: int) -> int:
    """Return what remains of a text behind zero bytes."""
    blocks = (stop - start + _BLOCK - 1) >> 6
    return _fold_blocks(stop - (blocks << 6), blocks)


def _make_tables() -> npt.NDArray[np.uint64]:
    """Return what a byte leaves behind when 0 to 7 zero bytes follow it."""
    tables = np.zeros((8, 256), np.uint64)
    for byte in range(256):
        rest = byte
        for _ in range(8):
            rest = rest >> 1 ^ (_POLYNOMIAL if rest & 1 else 0)
        tables[0, byte] = rest
    for i in range(1, 8):
        tables[i] = tables[i - 1] >> _U8 ^ tables[0][(tables[i - 1] & _LOW_BYTE).astype(np.intp)]
    return tables


_TABLES = _make_tables()


@inlined
def looked_up(start: int, stop: int) -> int:
    """Return the same as ``folded`` from tables."""
    p, rest = stop - ((stop - start + 7) & -8), np.uint64(0)
    while p < stop:
        word = word_at(p) ^ rest
        rest = np.uint64(0)
        for i in range(8):
            rest ^= _TABLES[7 - i, signed(word >> np.uint64(8 * i) & _LOW_BYTE)]
        p += 8
    return signed(rest)


_remainder = folded if binding.get_host_cpu_features().get("pclmul", False) else looked_up


@part
def crc32(start: int, stop: int) -> int:
    """Return the CRC-32 of at least four bytes.

    Parameters
    ----------
    start, stop : int
        Addresses of the text, whose first four bytes are overwritten. ``ROOM`` zero bytes stand before it.
    """
    store(start, 0, signed(word_at(start) ^ _LOW_HALF))
    return _remainder(start, stop) ^ 0xFFFFFFFF

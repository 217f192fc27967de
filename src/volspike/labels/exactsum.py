"""Exact sums of squared returns over stretches of an array: the array form of Python's integers.

A square of up to 126 bits is cut into four limbs of 32 bits, each summed in 64 bits, so prefix sums neither
round nor overflow below 2**31 entries.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.features.fixedpoint import RV_BPS_SCALE, WORD

U8 = npt.NDArray[np.uint64]
_LOW = np.uint64(2**32 - 1)
_HALF = np.uint64(32)


def prefix_squares(q: npt.NDArray[np.int64]) -> U8:
    """Return the running sums of ``q * q``.

    Parameters
    ----------
    q : int64[n]
        Log returns at scale ``2**60``.

    Returns
    -------
    uint64[n + 1, 4]
        Limb sums, lowest first; row i is the sum of the first i squares.
    """
    magnitude = np.abs(q).astype(np.uint64)
    low, high = magnitude & _LOW, magnitude >> _HALF
    bottom, middle, top = low * low, np.uint64(2) * high * low, high * high
    limbs = np.zeros((len(q) + 1, 4), np.uint64)
    limbs[1:, 0] = bottom & _LOW
    limbs[1:, 1] = (bottom >> _HALF) + (middle & _LOW)
    limbs[1:, 2] = (middle >> _HALF) + (top & _LOW)
    limbs[1:, 3] = top >> _HALF
    return np.cumsum(limbs, axis=0, dtype=np.uint64)


def stretch_words(prefix: U8, start: npt.NDArray[np.int64], stop: npt.NDArray[np.int64]) -> U8:
    """Return the sums over [start, stop) as 64-bit words, uint64[m, 3], lowest first."""
    limb = prefix[stop] - prefix[start]
    for i in range(3):
        limb[:, i + 1] += limb[:, i] >> _HALF
    low = (limb[:, 0] & _LOW) | ((limb[:, 1] & _LOW) << _HALF)
    high = (limb[:, 2] & _LOW) | ((limb[:, 3] & _LOW) << _HALF)
    return np.stack((low, high, limb[:, 3] >> _HALF), axis=1)


def words_to_float(words: U8) -> npt.NDArray[np.float64]:
    """Return the sums as float64, rounded as ``fixedpoint.wide_to_float`` rounds."""
    low, high, top = (words[:, i].astype(np.float64) for i in range(3))
    return (top * WORD + high) * WORD + low


def words_to_rv_bps(words: U8) -> npt.NDArray[np.float64]:
    """Return realised volatilities in basis points, equal to ``fixedpoint.rv_bps`` to the bit."""
    return np.sqrt(words_to_float(words)) * RV_BPS_SCALE


def words_to_ints(words: U8) -> list[int]:
    """Return the sums as Python integers."""
    return [low | high << 64 | top << 128 for low, high, top in words.tolist()]

"""The arithmetic of docs/sampling.md in numpy, operation by operation: random numbers, weights, sums, powers.

Nothing here is fast and nothing here is shared with the core: every constant is written again. What becomes of a row
with them is `processors` and `sample`.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

F32_MAX = float(np.finfo(np.float32).max)
LOG2_E = 1.4426950408889634
LN_2 = 0.6931471805599453
CHUNK = 2048
LANES = 16

# 2**f for f in [-1/2, 1/2], lowest power first; the constant term is exactly 1.
EXP2_COEFFICIENTS = tuple(
    np.float32(float.fromhex(c))
    for c in (
        "0x1.62e428p-1",
        "0x1.ebf9c0p-3",
        "0x1.c6b7d2p-5",
        "0x1.3ce9ecp-7",
        "0x1.5bab52p-10",
    )
)


# -- random numbers ----------------------------------------------------------------------------------------------------


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers, as Easy as 1, 2, 3; SC11)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c[0], c[1], c[2], c[3]


def uniform(seed: int, step: int, choice: int, lane: int = 0) -> float:
    """A multiple of 2**-53 in (0, 1), never 0 and never 1."""
    low = 0xFFFFFFFF
    r = philox((step & low, step >> 32, lane, choice), (seed & low, seed >> 32))
    return (((r[0] << 32 | r[1]) >> 12) + 0.5) * 2.0**-52


# -- weights -----------------------------------------------------------------------------------------------------------


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray | np.float32) -> np.ndarray:
    """float32 a * b + c, rounded once.

    The float64 product of two float32 is exact. The sum is rounded to odd, so that rounding it again to float32 gives
    what one rounding gives (Boldo and Melquiond, Emulation of FMA, 2008).
    """
    product, addend = a.astype(np.float64) * b.astype(np.float64), np.asarray(c, np.float64)
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)
    bits = total.view(np.int64)
    to_odd = np.where((error > 0) == (total > 0), 1, -1)
    return np.where((error != 0) & (bits & 1 == 0), bits + to_odd, bits).view(np.float64).astype(np.float32)


def fma_exactly(a: float, b: float, c: float) -> np.float32:
    """`fma` of three numbers by rational arithmetic, for the tests of `fma`."""
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    near = np.float32(float(exact))
    around = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    # Nearest, ties to the even mantissa.
    return min(around, key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.uint32)) & 1))


def exp2(t: np.ndarray) -> np.ndarray:
    """2**t in float32 for t <= 0, and 0 from -126 down (and for NaN)."""
    magic = np.float32(12582912.0)  # 1.5 * 2**23: adding it rounds to an integer, left in the low bits of the mantissa
    normal = t > np.float32(-126.0)
    t = np.where(normal, t, np.float32(0.0)).astype(np.float32)
    n = t + magic
    f = t - (n - magic)
    c1, c2, c3, c4, c5 = EXP2_COEFFICIENTS
    p = np.full_like(f, c5)
    for c in (c4, c3, c2, c1, np.float32(1.0)):
        p = fma(p, f, c)
    power = (p.view(np.uint32) + (n.view(np.uint32) << np.uint32(23))).view(np.float32)
    return np.where(normal, power, np.float32(0.0))


def scale(temperature: float) -> np.float32:
    """log2(e) / T; dividing by a tiny T must not give infinity, for 0 * infinity is NaN."""
    return np.float32(min(LOG2_E / temperature, F32_MAX))


def exponents(row: np.ndarray, keep: np.ndarray, temperature: float) -> np.ndarray:
    """t = (x - m) c with m the largest logit kept; -inf where `keep` is False."""
    peak = row[keep].max()
    with np.errstate(all="ignore"):
        return (np.where(keep, row, np.float32(-np.inf)) - peak) * scale(temperature)


def weigh(row: np.ndarray, keep: np.ndarray, temperature: float) -> np.ndarray:
    """exp((x - m) / T), 0 where `keep` is False."""
    return exp2(exponents(row, keep, temperature))


def fold(lanes: np.ndarray) -> float:
    for half in (8, 4, 2, 1):
        lanes[:half] += lanes[half : 2 * half]
    return float(lanes[0])


def chunk_sums(weights: np.ndarray) -> list[float]:
    """The sum of each 2,048 weights: 16 float32 lanes, lane = id % 16, folded in halves."""
    sums = []
    for start in range(0, len(weights), CHUNK):
        chunk = weights[start : start + CHUNK]
        lanes = np.zeros(LANES, np.float32)
        for i in range(0, len(chunk), LANES):
            some = chunk[i : i + LANES]
            lanes[: len(some)] += some
        sums.append(fold(lanes))
    return sums


def mean_exponent(row: np.ndarray, keep: np.ndarray, temperature: float) -> float:
    """The sum of w t over the sum of w: with log2 Z less this, the entropy in bits. Summed as weights are, by fma."""
    t = exponents(row, keep, temperature)
    weights, t = exp2(t), np.maximum(t, np.float32(-126.0))
    s = 0.0
    for start in range(0, len(t), CHUNK):
        lanes = np.zeros(LANES, np.float32)
        for i in range(start, min(start + CHUNK, len(t)), LANES):
            end = min(i + LANES, start + CHUNK, len(t))
            lanes[: end - i] = fma(weights[i:end], t[i:end], lanes[: end - i])
        s += fold(lanes)
    return s / total(weights)


def total(weights: np.ndarray) -> float:
    """float64 over the chunks, ascending."""
    z = 0.0
    for part in chunk_sums(weights):
        z += part
    return z


def descending(row: np.ndarray) -> np.ndarray:
    """Ids by logit, largest first, equal ones by id."""
    return np.lexsort((np.arange(len(row)), -row))


# -- powers in float64, by +, -, * and / alone, so that no library's rounding enters -----------------------------------


def log2(x: float) -> float:
    """Of a positive number."""
    mantissa, exponent = math.frexp(x)
    if mantissa < 0.7071067811865476:
        mantissa, exponent = mantissa * 2.0, exponent - 1
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square, series = s * s, 0.0
    for k in range(23, 0, -2):
        series = series * square + 1.0 / k
    return series * s * 2.0 * LOG2_E + exponent


def power2(y: float) -> float:
    """2**y; 0 below -1000, infinity above 1000."""
    if y < -1000.0:
        return 0.0
    if y > 1000.0:
        return math.inf
    n = math.floor(y + 0.5)
    z, series = (y - n) * LN_2, 1.0
    for k in range(16, 0, -1):
        series = series * z / k + 1.0
    return series * 2.0**n


def power(base: float, exponent: float) -> float:
    """For a base that is not negative."""
    if exponent == 0.0:
        return 1.0
    return 0.0 if base == 0.0 else power2(exponent * log2(base))


def whole_power(base: float, exponent: int) -> float:
    """By squaring, lowest bit first."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result

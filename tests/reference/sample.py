"""The sampling rule of docs/sampling.md, restated one step at a time in numpy and plain Python, bit for bit.

Nothing here is fast and nothing here is shared with the core: every constant is written again. What does not live here:
batches, slots and arrays of other types; a row is one float32 vector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

OK, INF, NAN, EMPTY = range(4)
F32_MAX = float(np.finfo(np.float32).max)
LOG2_E = 1.4426950408889634
NOT_ASKED = np.float32(np.nan)
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


@dataclass(frozen=True, kw_only=True)
class Params:
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    choice: int = 0
    logprobs: int | None = None


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What one row gave; a row without a token reports nothing."""

    token: int
    status: int
    logprob: np.float32 = NOT_ASKED
    rank: int = 0
    top: tuple[tuple[int, np.float32], ...] = ()


# -- random numbers ----------------------------------------------------------------------------------------------------


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers, as Easy as 1, 2, 3; SC11)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c[0], c[1], c[2], c[3]


def uniform(seed: int, step: int, choice: int) -> float:
    """A multiple of 2**-53 in (0, 1), never 0 and never 1."""
    low = 0xFFFFFFFF
    r = philox((step & low, step >> 32, 0, choice), (seed & low, seed >> 32))
    return (((r[0] << 32 | r[1]) >> 12) + 0.5) * 2.0**-52


# -- weights -----------------------------------------------------------------------------------------------------------


def fma(a: np.ndarray, b: np.ndarray, c: np.float32) -> np.ndarray:
    """float32 a * b + c, rounded once.

    The float64 product of two float32 is exact. The sum is rounded to odd, so that rounding it again to float32 gives
    what one rounding gives (Boldo and Melquiond, Emulation of FMA, 2008).
    """
    product, addend = a.astype(np.float64) * b.astype(np.float64), np.float64(c)
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


def weigh(row: np.ndarray, keep: np.ndarray, peak: np.float32, temperature: float) -> np.ndarray:
    """exp((x - peak) / T), 0 where `keep` is False."""
    with np.errstate(all="ignore"):
        t = (np.where(keep, row, np.float32(-np.inf)) - peak) * scale(temperature)
    return exp2(t)


def chunk_sums(weights: np.ndarray) -> list[float]:
    """The sum of each 2,048 weights: 16 float32 lanes, lane = id % 16, folded in halves."""
    sums = []
    for start in range(0, len(weights), CHUNK):
        chunk = weights[start : start + CHUNK]
        lanes = np.zeros(LANES, np.float32)
        for i in range(0, len(chunk), LANES):
            some = chunk[i : i + LANES]
            lanes[: len(some)] += some
        for half in (8, 4, 2, 1):
            lanes[:half] += lanes[half : 2 * half]
        sums.append(float(lanes[0]))
    return sums


def total(weights: np.ndarray) -> float:
    """float64 over the chunks, ascending."""
    z = 0.0
    for part in chunk_sums(weights):
        z += part
    return z


def descending(row: np.ndarray) -> np.ndarray:
    """Ids by logit, largest first, equal ones by id."""
    return np.lexsort((np.arange(len(row)), -row))


# -- one row -----------------------------------------------------------------------------------------------------------


def status(row: np.ndarray, allowed: np.ndarray) -> int:
    some = row[allowed]
    if np.isnan(some).any():
        return NAN
    if not (some > -np.inf).any():
        return EMPTY
    return INF if (some == np.inf).any() else OK


def kept(row: np.ndarray, allowed: np.ndarray, params: Params) -> np.ndarray:
    """The set left by top_k, then top_p. The row's status is OK and the temperature is not 0."""
    keep = allowed.copy()
    order = [i for i in descending(np.where(allowed, row, np.float32(-np.inf))) if allowed[i]]
    if 0 < params.top_k < len(order):
        keep[order[params.top_k :]] = False
        order = order[: params.top_k]
    if params.top_p < 1.0:
        weights = weigh(row, keep, row[allowed].max(), params.temperature)
        need = math.ceil(params.top_p * total(weights) * 2.0**40)
        mass = 0
        for rank, i in enumerate(order):
            mass += math.floor(float(weights[i]) * 2.0**40)
            if mass >= need:
                keep[order[rank + 1 :]] = False
                break
    return keep


def pick(weights: np.ndarray, u: float) -> int:
    """The token at u in the cumulative distribution, ids ascending."""
    sums = chunk_sums(weights)
    rest = u * total(weights)
    for number, part in enumerate(sums):
        if rest < part:
            ids = range(number * CHUNK, min((number + 1) * CHUNK, len(weights)))
            for i in ids:
                rest -= float(weights[i])
                if rest < 0.0:
                    return i
            return max(i for i in ids if weights[i] > 0)
        rest -= part
    return int(np.flatnonzero(weights > 0)[-1])


def draw(row: np.ndarray, params: Params, step: int, allowed: np.ndarray | None = None) -> tuple[int, int]:
    """(token, status) of one row; token -1 if the row is NAN or EMPTY."""
    allowed = np.ones(len(row), bool) if allowed is None else allowed
    found = status(row, allowed)
    if found in (NAN, EMPTY):
        return -1, found
    u = uniform(params.seed, step, params.choice)
    if found == INF:
        infinite = np.flatnonzero(allowed & (row == np.inf))
        return int(infinite[0 if params.temperature == 0 else math.floor(u * len(infinite))]), INF
    peak = row[allowed].max()
    if params.temperature == 0:
        return int(np.flatnonzero(allowed & (row == peak))[0]), OK
    return pick(weigh(row, kept(row, allowed, params), peak, params.temperature), u), OK


def log_probabilities(row: np.ndarray) -> np.ndarray:
    """float32 log-softmax of the model's own row, at temperature 1; NaN counts as -inf."""
    row = np.where(np.isnan(row), np.float32(-np.inf), row)
    peak = row.max()
    if peak == np.inf:
        infinite = row == np.inf
        return np.where(infinite, np.float32(-math.log(infinite.sum())), np.float32(-np.inf)).astype(np.float32)
    log_z = math.log(total(weigh(row, np.ones(len(row), bool), peak, 1.0)))
    with np.errstate(over="ignore"):
        return ((row - peak).astype(np.float64) - log_z).astype(np.float32)


def report(row: np.ndarray, logs: np.ndarray, token: int, found: int, n: int | None, ids: np.ndarray) -> Drawn:
    """Log-probability, rank and the n most likely (none that cannot be) of a row whose entry i is the token ids[i]."""
    if n is None or token < 0:
        return Drawn(token=token, status=found)
    clean = np.where(np.isnan(row), np.float32(-np.inf), row)
    at = int(np.flatnonzero(ids == token)[0])
    top = tuple((int(ids[i]), logs[i]) for i in descending(clean)[:n] if clean[i] > -np.inf)
    return Drawn(token=token, status=found, logprob=logs[at], rank=1 + int((clean > clean[at]).sum()), top=top)


def sample(row: np.ndarray, params: Params, step: int, allowed: np.ndarray | None = None) -> Drawn:
    """Everything `Sampler.step` says of one row."""
    token, found = draw(row, params, step, allowed)
    logs = log_probabilities(row) if params.logprobs is not None and token >= 0 else row
    return report(row, logs, token, found, params.logprobs, np.arange(len(row)))


def sample_candidates(
    ids: np.ndarray, logits: np.ndarray, logsumexp: np.float32, params: Params, step: int, vocab_size: int
) -> Drawn:
    """Everything `Sampler.step_candidates` says of one row: the row consists of just these tokens."""
    real = ids >= 0
    order = np.argsort(ids[real])
    ids, logits = ids[real][order], logits[real][order]
    row, allowed = np.full(vocab_size, -np.inf, np.float32), np.zeros(vocab_size, bool)
    row[ids], allowed[ids] = logits, True
    token, found = draw(row, params, step, allowed)
    logs = (logits.astype(np.float64) - np.float64(logsumexp)).astype(np.float32)
    return report(logits, logs, token, found, params.logprobs, ids)


def apply(row: np.ndarray, params: Params, allowed: np.ndarray | None = None) -> np.ndarray:
    """What `Sampler.apply` leaves of a row whose status is OK."""
    allowed = np.ones(len(row), bool) if allowed is None else allowed
    if params.temperature == 0:
        keep = np.zeros(len(row), bool)
        keep[draw(row, params, 0, allowed)[0]] = True
        return np.where(keep, row, np.float32(-np.inf))
    with np.errstate(all="ignore"):
        return np.where(kept(row, allowed, params), row / np.float32(params.temperature), np.float32(-np.inf))


# -- the distribution, without any of the arithmetic above -------------------------------------------------------------


def probabilities(row: np.ndarray, params: Params, allowed: np.ndarray | None = None) -> np.ndarray:
    """float64 probability of each token by the textbook, for statistical tests. Temperature above 0."""
    allowed = np.ones(len(row), bool) if allowed is None else allowed
    x = np.where(allowed, row.astype(np.float64), -np.inf) / params.temperature
    p = np.exp(x - x.max())
    order = descending(x)
    if 0 < params.top_k < len(p):
        p[order[params.top_k :]] = 0.0
    p /= p.sum()
    before = np.cumsum(p[order]) - p[order]
    p[order[before >= params.top_p]] = 0.0
    return p / p.sum()

"""Every processor of docs/sampling.md in the order a plan names them, one plain function each.

A row is edited (bias, penalties, watermark) or cut (everything that drops tokens). What is drawn from it is `sample`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .sample_numbers import (
    F32_MAX,
    descending,
    exponents,
    log2,
    mean_exponent,
    philox,
    power,
    power2,
    total,
    uniform,
    weigh,
    whole_power,
)

EDITS = ("logit_bias", "bad_words", "repetition_penalty", "frequency_penalty", "presence_penalty", "dry", "watermark")
PROFILES = {
    "default": (*EDITS, "top_n_sigma", "temperature", "top_k", "top_p", "min_p", "typical_p", "tfz", "epsilon_cutoff",
                "eta_cutoff", "xtc"),
    "vllm": ("bad_words", "logit_bias", "repetition_penalty", "frequency_penalty", "presence_penalty", "temperature",
             "min_p", "top_k", "top_p"),
    "tgi": ("watermark", "repetition_penalty", "frequency_penalty", "temperature", "top_k", "top_p", "typical_p"),
    "hf": ("logit_bias", "repetition_penalty", "bad_words", "temperature", "top_k", "top_p", "min_p", "typical_p",
           "epsilon_cutoff", "eta_cutoff", "watermark"),
    "llama.cpp": ("logit_bias", "repetition_penalty", "frequency_penalty", "presence_penalty", "dry", "top_n_sigma",
                  "top_k", "typical_p", "top_p", "min_p", "xtc", "temperature"),
}  # fmt: skip
KEEPS_TIES = ("vllm", "tgi", "hf")


@dataclass(frozen=True, kw_only=True)
class Params:
    temperature: float = 1.0
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    tfz: float = 1.0
    top_n_sigma: float = 0.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_counts: str | None = None
    frequency_counts: str | None = None
    penalty_last_n: int | None = None
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_last_n: int | None = None
    dry_breakers: Sequence[int] = ()
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    bad_words: Sequence[Sequence[int]] = ()
    watermark: str | None = None
    watermark_gamma: float = 0.25
    watermark_delta: float = 2.0
    watermark_key: int = 15485863
    order: str | Sequence[str] | None = None
    seed: int = 0
    choice: int = 0
    logprobs: int | None = None
    logprobs_mode: str = "raw"

    @property
    def plan(self) -> tuple[str, ...]:
        """What runs, in order."""
        order = "default" if self.order is None else self.order
        names = PROFILES[order] if isinstance(order, str) else tuple(order)
        if not self.mirostat:
            return names
        if order == "llama.cpp":
            return ("logit_bias", "temperature")
        return tuple(name for name in names if name in (*EDITS, "temperature"))

    @property
    def keeps_ties(self) -> bool:
        return self.order in KEEPS_TIES

    @property
    def is_llama(self) -> bool:
        return self.order == "llama.cpp"


@dataclass(frozen=True, kw_only=True)
class History:
    """The tokens before this one."""

    prompt: Sequence[int] = ()
    output: Sequence[int] = ()

    def all(self) -> list[int]:
        return [*self.prompt, *self.output]

    def counted(self, params: Params, which: str) -> dict[int, int]:
        """How often each token stands in what a penalty looks at."""
        tokens, is_output = self.all(), [False] * len(self.prompt) + [True] * len(self.output)
        last = params.penalty_last_n
        if last is None:
            last = 64 if params.is_llama else len(tokens)
        counts: dict[int, int] = {}
        for token, output in list(zip(tokens, is_output, strict=True))[max(0, len(tokens) - last) :]:
            if output or which == "all":
                counts[token] = counts.get(token, 0) + 1
        return counts


class State:
    """A row on its way: its logits, the tokens kept, the temperature once it has been applied."""

    def __init__(self, row: np.ndarray, keep: np.ndarray) -> None:
        self.row, self.keep, self.temperature = row, keep, 1.0

    def weights(self) -> np.ndarray:
        return weigh(self.row, self.keep, self.temperature)

    def order(self) -> list[int]:
        """The tokens kept, largest logit first, then lowest id."""
        return [int(i) for i in descending(np.where(self.keep, self.row, np.float32(-np.inf))) if self.keep[i]]

    def keep_only(self, ids: Sequence[int] | np.ndarray) -> None:
        only = np.zeros(len(self.keep), bool)
        only[np.asarray(ids, np.int64)] = True
        self.keep = self.keep & only

    def peak(self) -> np.ndarray:
        return self.keep & (self.row == self.row[self.keep].max())


# -- edits -------------------------------------------------------------------------------------------------------------


def edited(old: np.float32, new: np.float32) -> np.float32:
    """What was finite stays so."""
    if not np.isfinite(old):
        return old
    return np.float32(min(max(float(new), -F32_MAX), F32_MAX) + 0.0)


def edit(row: np.ndarray, params: Params, history: History, name: str, temperature: float = 1.0) -> None:
    with np.errstate(all="ignore"):
        _edit(row, params, history, name, temperature)


def _edit(row: np.ndarray, params: Params, history: History, name: str, temperature: float) -> None:
    if name == "logit_bias":
        for token, bias in params.logit_bias.items():
            row[token] = -np.inf if bias == -math.inf else edited(row[token], row[token] + np.float32(bias))
    elif name == "bad_words":
        tokens = history.all()
        for word in params.bad_words:
            *before, last = word
            if not before or (len(before) <= len(tokens) and tokens[len(tokens) - len(before) :] == before):
                row[last] = -np.inf
    elif name == "repetition_penalty" and params.repetition_penalty != 1.0:
        penalty = np.float32(params.repetition_penalty)
        for token in history.counted(params, params.repetition_counts or "all"):
            x = row[token]
            row[token] = edited(x, x / penalty if x > 0 else x * penalty)
    elif name in ("frequency_penalty", "presence_penalty"):
        which = params.frequency_counts or ("all" if params.is_llama else "output")
        for token, count in history.counted(params, which).items():
            x = row[token]
            if name == "frequency_penalty":
                row[token] = edited(x, x - np.float32(params.frequency_penalty) * np.float32(count))
            else:
                row[token] = edited(x, x - np.float32(params.presence_penalty))
    elif name == "dry" and params.dry_multiplier > 0.0:
        for token, length in repeats(params, history).items():
            penalty = params.dry_multiplier * whole_power(params.dry_base, length - params.dry_allowed_length)
            row[token] = edited(row[token], np.float32(float(row[token]) - penalty))
    elif name == "watermark" and params.watermark is not None and history.all():
        green = green_list(params, history.all()[-1], len(row))
        delta = np.float32(params.watermark_delta * temperature)
        for token in np.flatnonzero(green):
            row[token] = edited(row[token], row[token] + delta)


def repeats(params: Params, history: History) -> dict[int, int]:
    """Tokens that would go on with a repetition, and the longest that each would go on with."""
    tokens = history.all()
    if params.dry_last_n is not None:
        tokens = tokens[max(0, len(tokens) - params.dry_last_n) :]
    found: dict[int, int] = {}
    for at in range(len(tokens)):
        length = 0
        # The text before `at` against the end of the text: a breaker ends what repeats.
        while (
            length < at
            and tokens[at - 1 - length] == tokens[len(tokens) - 1 - length]
            and tokens[at - 1 - length] not in params.dry_breakers
        ):
            length += 1
        if length >= max(1, params.dry_allowed_length):
            found[tokens[at]] = max(length, found.get(tokens[at], 0))
    return found


def green_list(params: Params, previous: int, width: int) -> np.ndarray:
    green = np.zeros(width, bool)
    if params.watermark == "kgw":
        # The first of a random permutation, as torch.randperm on a CPU makes it.
        generator = np.random.MT19937()
        generator._legacy_seeding(params.watermark_key * previous & 0xFFFFFFFF)
        ids = list(range(width))
        n_green = int(width * params.watermark_gamma)
        for i, word in enumerate(generator.random_raw(max(width - 1, 1))[: min(n_green, width - 1)]):
            j = i + int(word) % (width - i)
            ids[i], ids[j] = ids[j], ids[i]
        green[ids[:n_green]] = True
    else:
        low = 0xFFFFFFFF
        key = (params.watermark_key & low, params.watermark_key >> 32)
        below = math.floor(params.watermark_gamma * 2.0**32)
        for token in range(width):
            green[token] = philox((token // 4, previous, 0, 0), key)[token % 4] < below
    return green


# -- cuts --------------------------------------------------------------------------------------------------------------


def shortest(state: State, order: Sequence[int], share: float, *, strict: bool = False) -> int:
    """How many of `order` it takes to have `share` of the mass, counted in whole units of 2**-40."""
    weights = state.weights()
    units = share * total(weights) * 2.0**40
    need = math.floor(units) + 1 if strict else math.ceil(units)
    mass = 0
    for rank, i in enumerate(order):
        mass += math.floor(float(weights[i]) * 2.0**40)
        if mass >= need:
            return rank + 1
    return len(order)


def cut(state: State, params: Params, name: str, step: int) -> None:
    if name == "top_k" and 0 < params.top_k < state.keep.sum():
        order = state.order()
        if params.keeps_ties:
            state.keep &= state.row >= state.row[order[params.top_k - 1]]
        else:
            state.keep_only(order[: params.top_k])
    elif name == "top_p" and params.top_p < 1.0:
        order = state.order()
        state.keep_only(order[: shortest(state, order, params.top_p)])
    elif name == "min_p" and params.min_p > 0.0:
        state.keep &= state.weights().astype(np.float64) >= params.min_p
    elif name == "typical_p" and params.typical_p < 1.0:
        typical(state, params)
    elif name == "tfz" and params.tfz < 1.0:
        tail_free(state, params.tfz)
    elif name == "top_n_sigma" and params.top_n_sigma > 0.0:
        sigmas(state, params.top_n_sigma)
    elif name == "epsilon_cutoff" and params.epsilon_cutoff > 0.0:
        weights = state.weights()
        least = params.epsilon_cutoff * total(weights)
        state.keep &= (weights.astype(np.float64) >= least) | state.peak()
    elif name == "eta_cutoff" and params.eta_cutoff > 0.0:
        weights = state.weights()
        entropic = math.sqrt(params.eta_cutoff) * power2(mean_exponent(state.row, state.keep, state.temperature))
        least = min(params.eta_cutoff * total(weights), entropic)
        state.keep &= (weights.astype(np.float64) >= least) | state.peak()
    elif name == "xtc" and params.xtc_probability > 0.0:
        if uniform(params.seed, step, params.choice, lane=1) < params.xtc_probability:
            weights = state.weights()
            least = params.xtc_threshold * total(weights)
            above = [i for i in state.order() if float(weights[i]) >= least]
            if len(above) >= 2:
                state.keep[above[:-1]] = False
    elif name == "temperature":
        state.temperature = temperature_of(state, params)


def typical(state: State, params: Params) -> None:
    """By how far the surprise of a token is from the mean surprise: |t - E|, both with log2 Z left out."""
    center = np.float32(mean_exponent(state.row, state.keep, state.temperature))
    t = exponents(state.row, state.keep, state.temperature)
    with np.errstate(all="ignore"):
        scores = np.abs(t - center)
    kept = np.flatnonzero(state.keep)
    order = [int(i) for i in kept[np.argsort(scores[kept], kind="stable")]]
    n = shortest(state, order, params.typical_p, strict=params.is_llama)
    if params.order in ("tgi", "hf"):
        state.keep &= scores <= scores[order[n - 1]]
    else:
        state.keep_only(order[:n])


def tail_free(state: State, z: float) -> None:
    """Second differences of the sorted weights, in whole units of 2**-40: the i-th is of the token of rank i + 1."""
    order, weights = state.order(), state.weights()
    if len(order) < 3:
        return
    units = [math.floor(float(weights[i]) * 2.0**40) for i in order]
    second = [abs(units[i] - 2 * units[i + 1] + units[i + 2]) for i in range(len(units) - 2)]
    need = math.floor(z * float(sum(second)))
    curve = 0
    for i, part in enumerate(second):
        curve += part
        if curve > need:
            state.keep_only(order[: i + 1])
            return
    state.keep_only(order[:-1])


def sigmas(state: State, n: float) -> None:
    """float64 sums of the distance to the largest logit and of its square, by lanes as weights are, over all ids."""
    peak = float(state.row[state.keep].max())
    d = np.where(state.keep, state.row.astype(np.float64) - peak, 0.0)
    sums, squares = np.zeros(16), np.zeros(16)
    for i in range(0, len(d), 16):
        some = d[i : i + 16]
        sums[: len(some)] += some
        squares[: len(some)] += some * some
    for half in (8, 4, 2, 1):
        sums[:half] += sums[half : 2 * half]
        squares[:half] += squares[half : 2 * half]
    count = float(state.keep.sum())
    mean = float(sums[0]) / count
    variance = max(float(squares[0]) / count - mean * mean, 0.0)
    state.keep &= state.row.astype(np.float64) - peak >= -(n * math.sqrt(variance))


def temperature_of(state: State, params: Params) -> float:
    """The temperature; with a range, where it stands in it by how even the distribution is. 0 is greedy."""
    if params.dynatemp_range == 0.0 or state.keep.sum() < 2:
        return params.temperature
    z = total(state.weights())
    bits = log2(z) - mean_exponent(state.row, state.keep, state.temperature)
    even = min(max(bits / log2(float(state.keep.sum())), 0.0), 1.0)
    low, high = max(params.temperature - params.dynatemp_range, 0.0), params.temperature + params.dynatemp_range
    return low + (high - low) * power(even, params.dynatemp_exponent)


# -- mirostat (Basu et al., 2007.14966) --------------------------------------------------------------------------------


def mirostat_cut(state: State, params: Params, mu: float) -> None:
    weights = state.weights()
    if params.mirostat == 2:
        least = total(weights) * power2(-mu)
        state.keep &= (weights.astype(np.float64) >= least) | state.peak()
        return
    order, t = state.order(), exponents(state.row, state.keep, state.temperature)
    above = below = 0.0
    for i in range(min(100, len(order)) - 1):
        ratio = log2((i + 2.0) / (i + 1.0))
        above += ratio * (float(t[order[i]]) - float(t[order[i + 1]]))
        below += ratio * ratio
    n = len(order)
    slope = above / below if below > 0.0 else 0.0
    excess = slope - 1.0
    k = float(n)
    if slope > 0.0 and excess != 0.0:
        k = power(excess * power2(mu) / (1.0 - power(float(n), -excess)), 1.0 / slope)
    state.keep_only(order[: max(1, math.floor(k)) if k < n else n])


def mirostat_mu(state: State, params: Params, token: int, mu: float) -> float:
    """After the draw: by how much the surprise among the tokens kept was off."""
    weights = state.weights()
    surprise = log2(total(weights)) - log2(float(weights[token]))
    return mu - params.mirostat_eta * (surprise - params.mirostat_tau)

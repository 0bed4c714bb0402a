"""The sampling rule of docs/sampling.md, restated one step at a time in numpy and plain Python, bit for bit.

Nothing here is fast and nothing here is shared with the core. Here is what becomes of one row, a float32 vector: its
status, the draw, log-probabilities. The numbers are in `sample_numbers`, each processor in `sample_processors`. What
does not live here: batches, slots and arrays of other types.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .sample_numbers import (
    CHUNK,
    chunk_sums,
    descending,
    total,
    uniform,
    weigh,
)
from .sample_processors import (
    EDITS,
    History,
    Params,
    State,
    cut,
    edit,
    mirostat_cut,
    mirostat_mu,
)

OK, INF, NAN, EMPTY = range(4)
NOT_ASKED = np.float32(np.nan)
NO_HISTORY = History()


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What one row gave; a row without a token reports nothing."""

    token: int
    status: int
    logprob: np.float32 = NOT_ASKED
    rank: int = 0
    top: tuple[tuple[int, np.float32], ...] = ()
    mu: float | None = None


def status(row: np.ndarray) -> int:
    """Of a row that has been edited and where -inf stands for what is not allowed."""
    if np.isnan(row).any():
        return NAN
    if not (row > -np.inf).any():
        return EMPTY
    return INF if (row == np.inf).any() else OK


def process(
    row: np.ndarray, params: Params, step: int, allowed: np.ndarray | None, history: History, mu: float | None
) -> tuple[State, int]:
    """Edits, status and cuts. Greedy cuts to the largest, infinite logits to those."""
    row = np.where(np.ones(len(row), bool) if allowed is None else allowed, row, np.float32(-np.inf))
    plan = params.plan
    heads = [name for i, name in enumerate(plan) if name in EDITS and all(before in EDITS for before in plan[:i])]
    tails = [name for name in plan if name not in heads]
    if params.temperature == 0.0:
        heads, tails = [name for name in plan if name in EDITS], []
    for name in heads:
        edit(row, params, history, name)
    state, found = State(row, row > -np.inf), status(row)
    if found == INF:
        state.keep = row == np.inf
    if found in (OK, INF) and params.temperature == 0.0:
        state.keep_only([state.order()[0]])
    elif found == OK:
        for name in tails:
            if name in EDITS:
                edit(row, params, history, name, state.temperature)
            else:
                cut(state, params, name, step)
            if state.temperature == 0.0:
                state.keep_only([state.order()[0]])
                state.temperature = 1.0
        if params.mirostat:
            mirostat_cut(state, params, 2.0 * params.mirostat_tau if mu is None else mu)
    return state, found


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


def draw(
    row: np.ndarray,
    params: Params,
    step: int,
    allowed: np.ndarray | None = None,
    history: History = NO_HISTORY,
    mu: float | None = None,
) -> tuple[int, int]:
    """(token, status) of one row; token -1 if the row is NAN or EMPTY."""
    return draw_from(*process(row, params, step, allowed, history, mu), params, step)


def draw_from(state: State, found: int, params: Params, step: int) -> tuple[int, int]:
    if found in (NAN, EMPTY):
        return -1, found
    u = uniform(params.seed, step, params.choice)
    if found == INF:
        infinite = np.flatnonzero(state.keep)
        return int(infinite[math.floor(u * len(infinite))]), INF
    return pick(state.weights(), u), OK


def log_probabilities(row: np.ndarray, keep: np.ndarray | None = None, temperature: float = 1.0) -> np.ndarray:
    """float32 log-softmax of a row, of the model's own at temperature 1; NaN counts as -inf."""
    row = np.where(np.isnan(row), np.float32(-np.inf), row)
    keep = np.ones(len(row), bool) if keep is None else keep
    row = np.where(keep, row, np.float32(-np.inf))
    peak = row.max()
    if peak == np.inf:
        infinite = row == np.inf
        return np.where(infinite, np.float32(-math.log(infinite.sum())), np.float32(-np.inf)).astype(np.float32)
    log_z = math.log(total(weigh(row, keep, temperature)))
    with np.errstate(over="ignore"):
        return ((row - peak).astype(np.float64) / temperature - log_z).astype(np.float32)


def report(
    row: np.ndarray, logs: np.ndarray, token: int, found: int, n: int | None, ids: np.ndarray, mu: float | None = None
) -> Drawn:
    """Log-probability, rank and the n most likely (none that cannot be) of a row whose entry i is the token ids[i]."""
    if n is None or token < 0:
        return Drawn(token=token, status=found, mu=mu)
    clean = np.where(np.isnan(row), np.float32(-np.inf), row)
    at = int(np.flatnonzero(ids == token)[0])
    top = tuple((int(ids[i]), logs[i]) for i in descending(clean)[:n] if clean[i] > -np.inf)
    return Drawn(token=token, status=found, logprob=logs[at], rank=1 + int((clean > clean[at]).sum()), top=top, mu=mu)


def sample(
    row: np.ndarray,
    params: Params,
    step: int,
    allowed: np.ndarray | None = None,
    history: History = NO_HISTORY,
    mu: float | None = None,
) -> Drawn:
    """Everything `Sampler.step` says of one row."""
    state, found = process(row, params, step, allowed, history, mu)
    token, found = draw_from(state, found, params, step)
    mu = mirostat_mu(state, params, token, mu_before(params, mu)) if is_mirostatic(params, found) else mu
    if params.logprobs is not None and token >= 0:
        if params.logprobs_mode == "processed":
            keep = state.row > -np.inf if params.temperature == 0.0 else state.keep
            row = np.where(keep, state.row, np.float32(-np.inf))
            logs = log_probabilities(row, None, state.temperature)
        else:
            logs = log_probabilities(row)
    else:
        logs = row
    return report(row, logs, token, found, params.logprobs, np.arange(len(row)), mu)


def is_mirostatic(params: Params, found: int) -> bool:
    return params.mirostat > 0 and params.temperature > 0.0 and found == OK


def mu_before(params: Params, mu: float | None) -> float:
    return 2.0 * params.mirostat_tau if mu is None else mu


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


def apply(
    row: np.ndarray, params: Params, allowed: np.ndarray | None = None, history: History = NO_HISTORY, step: int = 0
) -> np.ndarray:
    """What `Sampler.apply` leaves of a row whose status is OK."""
    state, _ = process(row, params, step, allowed, history, None)
    with np.errstate(all="ignore"):
        return np.where(state.keep, state.row / np.float32(state.temperature), np.float32(-np.inf))


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

"""One row to a token: ours, and what people write in numpy and torch. "correct": each token's draw is inside the exact
support, and greedy takes the first maximum.

`argmax` is the floor: one read of the same array by numpy in the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reference.sample import Params, probabilities

import logitwire as lw

N_ROWS = 8
VOCABULARIES = [32_000, 128_256]
SETTINGS = {
    "greedy": Params(temperature=0.0),
    "temperature": Params(temperature=0.8),
    "top_k 50": Params(temperature=0.8, top_k=50),
    "top_p 0.9": Params(temperature=0.8, top_p=0.9),
    "top_k 50, top_p 0.9": Params(temperature=0.8, top_k=50, top_p=0.9),
    "top_p 0.9, logprobs 5": Params(temperature=0.8, top_p=0.9, logprobs=5),
}


def rows(vocab_size: int, kind: str) -> np.ndarray:
    """peaked: a Zipf head 17 nats above the body, as a model's; flat: nearly even."""
    rng = np.random.default_rng(0)
    if kind == "flat":
        return rng.standard_normal((N_ROWS, vocab_size)).astype(np.float32)
    out = rng.standard_normal((N_ROWS, vocab_size)) - 17
    for row in out:
        row[rng.permutation(vocab_size)[:2000]] = -1.5 * np.log(np.arange(1, 2001)) + rng.standard_normal(2000) / 4
    return out.astype(np.float32)


def ours(logits: np.ndarray, params: Params) -> Callable[[], Any]:
    sampler = lw.Sampler(logits.shape[1])
    slots = [sampler.add(lw.SamplingParams(**{**vars(params), "seed": i})) for i in range(N_ROWS)]
    return lambda: sampler.step(logits, slots).tokens


def in_numpy(logits: np.ndarray, params: Params) -> Callable[[], Any]:
    rng = np.random.default_rng(0)

    def draw(row: np.ndarray) -> int:
        if params.temperature == 0:
            return int(row.argmax())
        ids = np.argpartition(row, -params.top_k)[-params.top_k :] if params.top_k else None
        x = (row if ids is None else row[ids]) / params.temperature
        p = np.exp(x - x.max())
        if params.top_p < 1:
            order = np.argsort(-p)
            mass = np.cumsum(p[order])
            p[order[np.searchsorted(mass, params.top_p * mass[-1]) + 1 :]] = 0
        mass = np.cumsum(p)
        at = int(np.searchsorted(mass, rng.random() * mass[-1], side="right"))
        if params.logprobs:
            logs = row - row.max()
            logs -= np.log(np.exp(logs).sum())
            np.argpartition(logs, -params.logprobs)[-params.logprobs :]
        return at if ids is None else int(ids[at])

    return lambda: np.array([draw(row) for row in logits])


def in_torch(logits: np.ndarray, params: Params) -> Callable[[], Any]:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    rows = torch.from_numpy(logits)

    def draw() -> Any:
        if params.temperature == 0:
            return rows.argmax(-1).numpy()
        x = rows / params.temperature
        if params.logprobs:
            rows.log_softmax(-1).topk(params.logprobs)
        if params.top_k:
            x = x.masked_fill(x < x.topk(params.top_k).values[:, -1:], -torch.inf)
        if params.top_p < 1:
            down, order = x.sort(descending=True)
            p = down.softmax(-1)
            down = down.masked_fill(p.cumsum(-1) - p >= params.top_p, -torch.inf)
            x = torch.full_like(x, -torch.inf).scatter(-1, order, down)
        return torch.multinomial(x.softmax(-1), 1)[:, 0].numpy()

    return draw


LIBRARIES = {"logitwire": ours, "numpy": in_numpy, "torch": in_torch}


def is_correct(call: Callable[[], Any], logits: np.ndarray, params: Params) -> bool:
    tokens = call()
    if params.temperature == 0:
        return tokens.tolist() == logits.argmax(-1).tolist()
    return all(probabilities(row, params)[token] > 0 for row, token in zip(logits, tokens, strict=True))


@pytest.mark.parametrize("vocab_size", VOCABULARIES)
@pytest.mark.parametrize("kind", ["peaked", "flat"])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_sample(timed: Any, library: str, setting: str, kind: str, vocab_size: int) -> None:
    logits, params = rows(vocab_size, kind), SETTINGS[setting]
    call = LIBRARIES[library](logits, params)
    timed(library, N_ROWS, is_correct(call, logits, params), call)


@pytest.mark.parametrize("vocab_size", VOCABULARIES)
def test_floor_argmax(timed: Any, vocab_size: int) -> None:
    logits = rows(vocab_size, "peaked")
    timed("numpy", N_ROWS, True, lambda: [row.argmax() for row in logits])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("setting", ["greedy", "top_k 50", "top_p 0.9"])
def test_half_precision(timed: Any, setting: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    logits, params = torch.from_numpy(rows(128_256, "peaked")).to(getattr(torch, dtype)), SETTINGS[setting]
    call = ours(logits, params)
    timed("logitwire", N_ROWS, is_correct(call, logits.float().numpy(), params), call)

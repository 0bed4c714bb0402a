"""Tokens a second of the embedded model: load, prefill, and decoding alone and in a batch of eight.

The threads are BLAS's (OPENBLAS_NUM_THREADS). `extra_info["correct"]` is whether the last logits are those of the same
sequences computed alone in one go.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

PROMPT = 32
THREADS = int(os.environ.get("OPENBLAS_NUM_THREADS", os.cpu_count() or 1))


@pytest.fixture(scope="module")
def model() -> Any:
    from logitwire import models

    return models.load("smollm2")


def prompt(row: int, length: int) -> list[int]:
    return [1000 + row + i for i in range(length)]


@pytest.mark.parametrize("length", [32, 128, 512])
def test_prefill(benchmark: Any, model: Any, length: int) -> None:
    ids = prompt(0, length)
    logits = benchmark.pedantic(lambda: model.forward([(model.new_cache(), ids)]), rounds=7, warmup_rounds=1)
    every = model.forward([(model.new_cache(), ids)], positions="all")
    benchmark.extra_info["correct"] = bool(np.abs(logits[0] - every[-1]).max() < 1e-3)
    benchmark.extra_info["tokens_per_second"] = length / benchmark.stats["median"]
    benchmark.extra_info["threads"] = THREADS


@pytest.mark.parametrize("batch", [1, 8])
def test_decode(benchmark: Any, model: Any, batch: int) -> None:
    caches = [model.new_cache() for _ in range(batch)]
    sequences = [prompt(row, PROMPT) for row in range(batch)]
    logits = model.forward(list(zip(caches, sequences, strict=True)))

    def step() -> None:
        nonlocal logits
        new = logits.argmax(axis=1).tolist()
        for sequence, token_id in zip(sequences, new, strict=True):
            sequence.append(token_id)
        logits = model.forward([(cache, [token_id]) for cache, token_id in zip(caches, new, strict=True)])

    benchmark.pedantic(step, rounds=40, warmup_rounds=2)
    alone = [model.forward([(model.new_cache(), sequence)])[0] for sequence in sequences]
    benchmark.extra_info["correct"] = bool(np.abs(logits - alone).max() < 1e-2)
    benchmark.extra_info["tokens_per_second"] = batch / benchmark.stats["median"]
    benchmark.extra_info["threads"] = THREADS


def test_load(benchmark: Any) -> None:
    from logitwire import models

    benchmark.pedantic(lambda: models.load("smollm2"), rounds=3)
    benchmark.extra_info["threads"] = THREADS

"""The whole line, one step of a running batch: `Batch.step`, and the stations called one by one from Python.

`argmax` is the floor: one read of the same logits by numpy in the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reference.line import Line

import logitwire as lw

SETTINGS = {
    "greedy": {"temperature": 0.0},
    "top_k 50": {"temperature": 0.8, "top_k": 50},
    "top_p 0.9": {"temperature": 0.8, "top_p": 0.9},
}
STOPS = ["\n\nUser:", "</s>", "```", "<|im_end|>"]


def vocabulary(size: int) -> lw.Vocab:
    return lw.Vocab.from_bytes([f" {i:x}".encode() for i in range(size)])


def requests(n: int, setting: str) -> list[tuple[lw.SamplingParams, dict[str, Any]]]:
    return [
        (
            lw.SamplingParams(seed=i, **SETTINGS[setting]),
            {"stop": STOPS, "framer": lw.sse.Framer("chat", id=f"id-{i}", model="m", created=i)},
        )
        for i in range(n)
    ]


def whole(vocab: lw.Vocab, logits: np.ndarray, setting: str) -> Callable[[], bytes]:
    batch = lw.Batch(vocab)
    slots = [batch.add(params, **options) for params, options in requests(len(logits), setting)]
    return lambda: batch.step(logits, slots).frames


def one_by_one(vocab: lw.Vocab, logits: np.ndarray, setting: str) -> Callable[[], bytes]:
    lines = [Line(vocab, params, **options) for params, options in requests(len(logits), setting)]
    return lambda: b"".join(line.step(row).frames for line, row in zip(lines, logits, strict=True))


LIBRARIES = {"Batch.step": whole, "stations": one_by_one}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(("n", "vocab_size"), [(1, 32_000), (8, 32_000), (8, 128_256), (64, 128_256)])
@pytest.mark.parametrize("library", LIBRARIES)
def test_step(timed: Any, library: str, n: int, vocab_size: int, setting: str) -> None:
    logits = (3 * np.random.default_rng(0).standard_normal((n, vocab_size))).astype(np.float32)
    vocab = vocabulary(vocab_size)
    first, second = (LIBRARIES[name](vocab, logits, setting) for name in (library, "stations"))
    timed(library, n, first() == second(), first)


@pytest.mark.parametrize(("n", "vocab_size"), [(8, 128_256), (64, 128_256)])
def test_floor_argmax(timed: Any, n: int, vocab_size: int) -> None:
    logits = (3 * np.random.default_rng(0).standard_normal((n, vocab_size))).astype(np.float32)
    timed("numpy", n, True, lambda: logits.argmax(-1))


@pytest.mark.parametrize("n", [1, 64])
def test_text_alone(timed: Any, n: int) -> None:
    """A vocabulary so small that sampling costs nothing: detokenize, stop and frame."""
    vocab, logits = vocabulary(64), np.random.default_rng(0).standard_normal((n, 64)).astype(np.float32)
    step = whole(vocab, logits, "greedy")
    timed("logitwire", n, bool(step()), step)

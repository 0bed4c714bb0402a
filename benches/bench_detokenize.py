"""Token ids to text, one at a time: ours, tokenizers' DecodeStream, the two offsets of TGI and vLLM's slow path.

Streams: text; ids cut anywhere; bytes that never complete, and skipped special tokens, on which windows are quadratic.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from reference.byte_level import SAMPLE, tokenizer_json

import logitwire as lw

tokenizers = pytest.importorskip("tokenizers")
from tokenizers.decoders import DecodeStream  # noqa: E402

OURS = lw.Tokenizer.from_json(tokenizer_json())
THEIRS = tokenizers.Tokenizer.from_str(tokenizer_json())
LONE = next(i for i in range(256) if OURS.vocab.token_bytes(i) == b"\x80")


def cases() -> dict[str, list[int]]:
    rng = random.Random(0)
    text = OURS.encode(SAMPLE)
    return {
        "text": (text * 4)[:2000],
        "random": [rng.randrange(len(OURS)) for _ in range(2000)],
        "lone bytes": [LONE] * 1000,
        "skipped specials": [OURS.vocab.special_ids[0]] * 1000,
    }


CASES = cases()


def ours(ids: list[int]) -> str:
    stream = OURS.detokenizer()
    return "".join([*map(stream.step, ids), stream.finish()])


def decode_stream(ids: list[int]) -> str:
    stream = DecodeStream(skip_special_tokens=True)
    return "".join(stream.step(THEIRS, i) or "" for i in ids)


def two_offsets(ids: list[int]) -> str:
    decode = THEIRS.decode
    prefix = read = 0
    out = []
    for n in range(1, len(ids) + 1):
        old, new = decode(ids[prefix:read]), decode(ids[prefix:n])
        if len(new) > len(old) and not new.endswith("\ufffd"):
            out.append(new[len(old) :])
            prefix, read = read, n
    return "".join(out)


LIBRARIES: dict[str, Callable[[list[int]], str]] = {
    "logitwire": ours,
    "tokenizers": decode_stream,
    "two offsets": two_offsets,
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_detokenize(timed: Any, library: str, case: str) -> None:
    ids, run = CASES[case], LIBRARIES[library]
    timed(library, len(ids), run(ids) == THEIRS.decode(ids), lambda: run(ids))


@pytest.mark.parametrize("library", ["logitwire", "tokenizers"])
def test_interleaved(timed: Any, library: str) -> None:
    """64 streams, a token of each in turn, as a server does."""
    ids = CASES["text"][:200]

    def run() -> list[str]:
        if library == "logitwire":
            steps = [OURS.detokenizer().step for _ in range(64)]
        else:
            streams = [DecodeStream(skip_special_tokens=True) for _ in range(64)]
            steps = [lambda i, stream=stream: stream.step(THEIRS, i) or "" for stream in streams]
        out = [""] * 64
        for i in ids:
            out = [text + step(i) for text, step in zip(out, steps, strict=True)]
        return out

    timed(library, 64 * len(ids), run() == [THEIRS.decode(ids)] * 64, run)

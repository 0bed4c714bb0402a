"""Token ids to text, one call a token: ours, and the ways of other libraries and servers (`libraries/detokenize.py`).

"correct": all the text of the stream is what `tokenizers` decodes from all its ids at once. Set-up of a stream is part
of each time, as it is of each request.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from libraries import loaded
from libraries.detokenize import LIBRARIES, Begin, Stream
from vocabulary import VOCABULARIES, Vocabulary, text

import logitwire as lw


def whole(vocabulary: Vocabulary, name: str, n: int = 2000) -> list[int]:
    """The ids of as much of a text as fits, so that the last one ends a character."""
    ids = vocabulary.encode(text(name)[: 8 * n])[:n]
    while ids and vocabulary.decode(ids[-4:]).endswith("\ufffd"):
        ids.pop()
    return ids


def at_random(vocabulary: Vocabulary) -> list[int]:
    rng = random.Random(0)
    return [rng.randrange(vocabulary.library.get_vocab_size()) for _ in range(2000)]


def lone_bytes(vocabulary: Vocabulary) -> list[int]:
    token_id = vocabulary.byte_id(0x80)
    if token_id is None:
        pytest.skip(f"{vocabulary.name} has no tokens that are bytes")
    return [token_id] * 1000


def skipped_specials(vocabulary: Vocabulary) -> list[int]:
    token_id = vocabulary.library.token_to_id(vocabulary.special_tokens[0])
    assert token_id is not None
    return [token_id] * 1000


# One for each kind of decoder; the others' are that of llama-3.
NAMES = ["small", "gpt-2", "llama-3", "mistral-v1", "xlm-r", "bert"]

CASES: dict[str, Callable[[Vocabulary], list[int]]] = {
    "English": lambda vocabulary: whole(vocabulary, "English"),
    "mixture": lambda vocabulary: whole(vocabulary, "mixture"),
    "random ids": at_random,
    "lone bytes": lone_bytes,
    "skipped specials": skipped_specials,
}


@cache
def given(vocabulary: str, case: str) -> tuple[list[int], str]:
    ids = CASES[case](VOCABULARIES[vocabulary])
    return ids, VOCABULARIES[vocabulary].decode(ids)


def begins(library: str, vocabulary: str) -> Begin:
    begin = loaded(LIBRARIES, library, VOCABULARIES[vocabulary])
    loaded({library: begin}, library)
    return begin


def streamed(stream: Stream, ids: list[int]) -> str | None:
    """None where the library raises."""
    try:
        return "".join([*map(stream.step, ids), stream.finish()])
    except Exception:
        return None


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("vocabulary", NAMES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_one_stream(timed: Any, library: str, vocabulary: str, case: str) -> None:
    begin = begins(library, vocabulary)
    ids, want = given(vocabulary, case)
    got = streamed(begin(), ids)
    if got is None:
        pytest.skip(f"{library}: raises on {case}")

    def run() -> None:
        step, finish = begin()
        for token_id in ids:
            step(token_id)
        finish()

    timed(library, len(ids), got == want, run)


@pytest.mark.parametrize("case", ["English", "mixture"])
@pytest.mark.parametrize("vocabulary", NAMES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_64_streams(timed: Any, library: str, vocabulary: str, case: str) -> None:
    """A token of each in turn, as a server does, for 60 tokens."""
    begin = begins(library, vocabulary)
    ids = given(vocabulary, case)[0][:60]
    got, want = streamed(begin(), ids), VOCABULARIES[vocabulary].decode(ids)

    def run() -> None:
        streams = [begin() for _ in range(64)]
        steps = [stream.step for stream in streams]
        for token_id in ids:
            for step in steps:
                step(token_id)
        for stream in streams:
            stream.finish()

    timed(library, 64 * len(ids), got == want, run)


@pytest.mark.parametrize("case", ["English", "mixture"])
@pytest.mark.parametrize("vocabulary", NAMES)
def test_64_streams_in_one_call(timed: Any, vocabulary: str, case: str) -> None:
    tokenizer = VOCABULARIES[vocabulary].ours
    ids = given(vocabulary, case)[0][:60]
    rows = [[token_id] * 64 for token_id in ids]
    step_many = lw.Detokenizer.step_many

    def run() -> list[str]:
        streams = [tokenizer.detokenizer() for _ in range(64)]
        texts = [step_many(row, streams) for row in rows]
        texts.append([stream.finish() for stream in streams])
        return ["".join(pieces) for pieces in zip(*texts, strict=True)]

    want = VOCABULARIES[vocabulary].decode(ids)

    def alone() -> None:
        streams = [tokenizer.detokenizer() for _ in range(64)]
        for row in rows:
            step_many(row, streams)
        for stream in streams:
            stream.finish()

    timed("logitwire", 64 * len(ids), run() == [want] * 64, alone)


@pytest.mark.parametrize("vocabulary", NAMES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_begin(timed: Any, library: str, vocabulary: str) -> None:
    """What a stream costs before its first token, and its end."""
    begin = begins(library, vocabulary)

    def run() -> None:
        for _ in range(100):
            begin()

    timed(library, 100, True, run)

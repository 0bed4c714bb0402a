"""Stop strings in streamed text: ours, vLLM's matcher, and the rules of other servers (`libraries/stop.py`).

Stops that never come, that begin with letters there are many of, that keep beginning, long ones, and one that comes at
the end; a piece is a token's few characters. "correct": the whole text and the stop are those of searching the text at
once. "held": the most characters kept back after a piece, where no stop had come.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from libraries import detokenize, loaded
from libraries import vllm as vllm_files
from libraries.stop import LIBRARIES
from reference import stop as reference
from vocabulary import VOCABULARIES, Vocabulary, text

import logitwire as lw


def pieces(whole: str) -> list[str]:
    rng, out, at = random.Random(0), [], 0
    while at < len(whole):
        size = rng.randint(1, 7)
        out.append(whole[at : at + size])
        at += size
    return out


FOUR = ["\n\n\nUser:", "<|im_end|>", "###Q", "</s>"]
CASES: dict[str, tuple[list[str], list[str]]] = {
    "one": (["\nUser:"], pieces(text("English")[:8000])),
    "four": (FOUR, pieces(text("English")[:8000])),
    "frequent letters": (["eQ", " tQ", "aQ"], pieces(text("English")[:8000])),
    "sixteen long": ([f"stop number {i} of sixteen" for i in range(16)], pieces(text("English")[:8000])),
    "sixteen of 1,000": ([chr(97 + i) + "yx" * 499 for i in range(16)], pieces(text("English")[:8000])),
    "keeps beginning": (["the the the the x"], pieces("the " * 2000)),
    "worst": (["a" * 1000 + "b"], pieces("a" * 8000)),
    "found at the end": (["END"], [*pieces(text("English")[:8000]), "the EN", "D."]),
}


def streamed(library: str, stops: list[str], stream: list[str]) -> tuple[str, str | None, int]:
    """All the text, the stop, and the most characters held back."""
    feed, finish = loaded(LIBRARIES, library, stops)
    shown, fed, held = 0, 0, 0
    out = []
    for piece in stream:
        sent, stop = feed(piece)
        out.append(sent)
        if stop is not None:
            return "".join(out), stop, held
        shown, fed = shown + len(sent), fed + len(piece)
        held = max(held, fed - shown)
    return "".join([*out, finish()]), None, held


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_stop(benchmark: Any, timed: Any, library: str, case: str) -> None:
    stops, stream = CASES[case]
    *got, held = streamed(library, stops, stream)
    want = reference.at_once("".join(stream), stops)
    benchmark.extra_info["held"] = held
    load = LIBRARIES[library]

    def run() -> None:
        feed, finish = load(stops)
        for piece in stream:
            feed(piece)
        finish()

    timed(library, len(stream), tuple(got) == want, run)


def ours_in_one_call(vocabulary: Vocabulary) -> detokenize.Begin:
    """The matcher is made once, as a server does that gives all its requests the same stops."""
    matcher = lw.StopMatcher(FOUR)
    return lambda: _stream(vocabulary.ours.detokenizer(stop=matcher))


def ours_in_two_calls(vocabulary: Vocabulary) -> detokenize.Begin:
    def begin() -> detokenize.Stream:
        stream, matcher = vocabulary.ours.detokenizer(), lw.StopMatcher(FOUR)
        step, feed = stream.step, matcher.feed
        return detokenize.Stream(
            lambda token_id: feed(step(token_id))[0], lambda: feed(stream.finish())[0] + matcher.finish()
        )

    return begin


def vllm(vocabulary: Vocabulary) -> detokenize.Begin:
    fast = vllm_files.detokenizer().FastIncrementalDetokenizer
    tokenizer = vllm_files.tokenizer(vocabulary.library, vocabulary.special_tokens)

    def begin() -> detokenize.Stream:
        stream = fast(tokenizer, vllm_files.request(stop=FOUR))
        update, sent = stream.update, stream.get_next_output_text

        def step(token_id: int) -> str:
            update([token_id], False)
            return sent(False, True)

        return detokenize.Stream(step, lambda: sent(True, True))

    return begin


def _stream(stream: lw.Detokenizer) -> detokenize.Stream:
    return detokenize.Stream(stream.step, stream.finish)


TOGETHER = {"logitwire": ours_in_one_call, "logitwire, two calls": ours_in_two_calls, "vllm, fast": vllm}


@pytest.mark.parametrize("vocabulary", ["small", "llama-3", "mistral-v1"])
@pytest.mark.parametrize("library", TOGETHER)
def test_detokenize_and_stop(timed: Any, library: str, vocabulary: str) -> None:
    """Ids in, text that is safe to show out, with four stops that never come."""
    begin = loaded(TOGETHER, library, VOCABULARIES[vocabulary])
    ids = VOCABULARIES[vocabulary].encode(text("English")[:16_000])[:2000]
    step, finish = begin()
    got = "".join([*map(step, ids), finish()])

    def run() -> None:
        step, finish = begin()
        for token_id in ids:
            step(token_id)
        finish()

    timed(library, len(ids), got == VOCABULARIES[vocabulary].decode(ids), run)

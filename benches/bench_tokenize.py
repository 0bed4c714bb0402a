"""Text to ids and back: ours, and other libraries that take the same file (`libraries/tokenize.py`).

`prompts` are different ones of 512 characters, a call each, as requests come in; `page` is one long text; both are
encoded again and again, so caches of words are warm. "correct": the ids are those of `tokenizers`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
from libraries import loaded
from libraries.tokenize import LIBRARIES
from vocabulary import TEXTS, VOCABULARIES, text


def prompts(name: str) -> list[str]:
    whole = text(name)[:256_000]
    return [whole[at : at + 512] for at in range(0, len(whole), 512)]


CASES: dict[str, Callable[[], list[str]]] = {
    **{f"{name} prompts": partial(prompts, name) for name in TEXTS},
    "English page": lambda: [text("English")],
    "a word": lambda: [" the"] * 100,
    "one letter": lambda: ["a" * 4000],
}


@cache
def given(vocabulary: str, case: str) -> tuple[list[str], list[list[int]]]:
    texts = CASES[case]()
    return texts, [VOCABULARIES[vocabulary].encode(one) for one in texts]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_encode(timed: Any, library: str, vocabulary: str, case: str) -> None:
    encode = loaded(LIBRARIES, library, VOCABULARIES[vocabulary]).encode
    texts, want = given(vocabulary, case)
    correct = [list(encode(one)) for one in texts] == want

    def run() -> None:
        for one in texts:
            encode(one)

    timed(library, sum(len(one.encode()) for one in texts), correct, run)


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_encode_batch(timed: Any, library: str, vocabulary: str) -> None:
    """64 texts of 16,000 characters in one call, on as many threads as the library takes."""
    encode_batch = loaded(LIBRARIES, library, VOCABULARIES[vocabulary]).encode_batch
    whole = text("English")
    texts = [whole[at : at + 16_000] for at in range(0, 64 * 16_000, 16_000)]
    correct = list(encode_batch(texts[:2])[1]) == VOCABULARIES[vocabulary].encode(texts[1])
    timed(library, sum(len(one.encode()) for one in texts), correct, lambda: encode_batch(texts))


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("library", ["logitwire", "tokenizers"])
def test_decode(timed: Any, library: str, vocabulary: str) -> None:
    subject = VOCABULARIES[vocabulary]
    ids = subject.encode(text("English")[:16_384])
    decode = subject.ours.decode if library == "logitwire" else subject.decode
    timed(library, len(ids), decode(ids) == subject.decode(ids), lambda: decode(ids))

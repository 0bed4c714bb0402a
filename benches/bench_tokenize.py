"""Text to ids: what our one file around Hugging Face's tokenizers costs over the library itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from reference.byte_level import SAMPLE, tokenizer_json

import logitwire as lw

tokenizers = pytest.importorskip("tokenizers")

OURS = lw.Tokenizer.from_json(tokenizer_json())
THEIRS = tokenizers.Tokenizer.from_str(tokenizer_json())
THEIRS.encode_special_tokens = True
TEXTS = {"a word": " the", "prompt": SAMPLE[:512], "page": (SAMPLE * 20)[:16_384], "one letter": "a" * 4000}
LIBRARIES: dict[str, Callable[[str], list[int]]] = {
    "logitwire": OURS.encode,
    "tokenizers": lambda text: THEIRS.encode(text).ids,
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_encode(timed: Any, library: str, text: str) -> None:
    value, run = TEXTS[text], LIBRARIES[library]
    timed(library, len(value.encode()), run(value) == THEIRS.encode(value).ids, lambda: run(value))


@pytest.mark.parametrize("library", ["logitwire", "tokenizers"])
def test_decode(timed: Any, library: str) -> None:
    ids = THEIRS.encode(TEXTS["page"]).ids
    run = OURS.decode if library == "logitwire" else THEIRS.decode
    timed(library, len(ids), run(ids) == TEXTS["page"], lambda: run(ids))

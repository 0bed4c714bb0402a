"""A model that gives one answer, byte by byte, and remembers what it was asked. For tests of what lies around models.

`python scripted_model.py ARGUMENTS` is the command line with this model in the place of every other; ANSWER, CONTEXT
and DELAY_S in the environment shape it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

import logitwire as lw

SPECIAL = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
USER, ASSISTANT, END = 257, 258, 259
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ANSWER = "Hello 🙂 wörld"


def byte_tokenizer() -> lw.Tokenizer:
    """Token i is byte i; then come the special tokens."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {byte: chr(byte) for byte in shown}
    letters |= {byte: chr(0x100 + i) for i, byte in enumerate(b for b in range(256) if b not in letters)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    description = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": 256 + i, "content": text, **flags} for i, text in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {letters[byte]: byte for byte in range(256)},
            "merges": [],
        },
    }
    return lw.Tokenizer.from_json(json.dumps(description), eos_tokens=["<|end|>"])


class ScriptedCache:
    def __init__(self) -> None:
        self.ids: list[int] = []

    @property
    def len(self) -> int:
        return len(self.ids)

    def truncate(self, n: int, /) -> None:
        del self.ids[n:]

    def fork(self) -> ScriptedCache:
        other = ScriptedCache()
        other.ids = list(self.ids)
        return other


class ScriptedModel:
    """Says `answer` after the last <|assistant|>, or after the last "=" of a prompt without one; then it ends."""

    name = "scripted"

    def __init__(self, answer: str = ANSWER, *, context_length: int = 4096, delay_s: float = 0.0) -> None:
        self.answer = [*answer.encode(), END]
        self.tokenizer = byte_tokenizer()
        self.chat_template = lw.ChatTemplate(TEMPLATE)
        self.vocab_size = len(self.tokenizer)
        self.context_length = context_length
        self.delay_s = delay_s
        self.caches: list[ScriptedCache] = []

    @property
    def seen(self) -> list[str]:
        """What each generation was asked, and what it said."""
        return [self.tokenizer.decode(cache.ids, skip_special_tokens=False) for cache in self.caches]

    def new_cache(self) -> ScriptedCache:
        self.caches.append(ScriptedCache())
        return self.caches[-1]

    def forward(self, rows: Sequence[tuple[Any, Sequence[int]]], *, positions: str = "last") -> np.ndarray:
        assert positions == "last"
        time.sleep(self.delay_s)
        logits = np.zeros((len(rows), self.vocab_size), np.float32)
        for row, (cache, ids) in enumerate(rows):
            cache.ids += ids
            begin = ASSISTANT if ASSISTANT in cache.ids else ord("=")
            said = cache.ids[::-1].index(begin) if begin in cache.ids else 0
            logits[row, self.answer[min(said, len(self.answer) - 1)]] = 100.0
        return logits


if __name__ == "__main__":
    from logitwire.cli import main

    model = ScriptedModel(
        os.environ.get("ANSWER", ANSWER),
        context_length=int(os.environ.get("CONTEXT", "4096")),
        delay_s=float(os.environ.get("DELAY_S", "0")),
    )
    lw.models.load = lambda name, **options: model
    sys.exit(main())

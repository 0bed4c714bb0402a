"""Small byte-level tokenizers as the text of a `tokenizer.json`: GPT-2's alphabet, and BPE training written plainly."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any

SAMPLE = (
    "the quick brown fox jumps over the lazy dog and then the other dog; that is that. "
    "In the beginning there was the word, and the words were many: hello world, hello there. "
    "naïve café déjà vu — über straße. Привет мир, привет. 你好世界你好。こんにちは世界。 "
    "1234 5678 90 12.5 def f(x): return x + 1\n\n    if x: pass\n 😀😀👍🏽 "
) * 3


@cache
def alphabet() -> tuple[str, ...]:
    """The character that stands for each byte: printable Latin-1 for itself, the rest from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in printable]
    return tuple(chr(b) if b in printable else chr(0x100 + rest.index(b)) for b in range(256))


@cache
def train(n_merges: int = 200) -> tuple[tuple[str, str], ...]:
    """Merges learned from SAMPLE: the most frequent pair first, ties by the pair itself."""
    words = Counter(" " + word for word in SAMPLE.split(" "))
    spelled = {word: [alphabet()[b] for b in word.encode()] for word in words}
    merges = []
    for _ in range(n_merges):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in zip(spelled[word], spelled[word][1:], strict=False):
                pairs[pair] += count
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for word, parts in spelled.items():
            merged: list[str] = []
            for part in parts:
                if merged and (merged[-1], part) == best:
                    merged[-1] += part
                else:
                    merged.append(part)
            spelled[word] = merged
    return tuple(merges)


def added_token(token_id: int, content: str, *, special: bool, **flags: bool) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": token_id, "content": content, "special": special, **plain, **flags}


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def tokenizer_json(*, without_bytes: bytes = b"", added: list[dict[str, Any]] | None = None, **parts: Any) -> str:
    """A `tokenizer.json`: the bytes, the merges, SPECIAL, then `added` (ids counted on). `parts` replace its parts."""
    merges = [m for m in train() if not any(alphabet()[b] in m[0] + m[1] for b in without_bytes)]
    tokens = [alphabet()[b] for b in range(256) if b not in without_bytes]
    tokens += [left + right for left, right in merges if left + right not in tokens]
    tokens = list(dict.fromkeys(tokens))
    model = {
        "type": "BPE",
        "vocab": {token: i for i, token in enumerate(tokens)},
        "merges": [list(merge) for merge in merges],
        **parts.pop("model", {}),
    }
    specials = [added_token(len(tokens) + i, content, special=True) for i, content in enumerate(SPECIAL)]
    more = [{**token, "id": len(tokens) + len(SPECIAL) + i} for i, token in enumerate(added or [])]
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": specials + more,
            "normalizer": None,
            "pre_tokenizer": BYTE_LEVEL,
            "post_processor": None,
            "decoder": BYTE_LEVEL,
            "model": model,
            **parts,
        }
    )

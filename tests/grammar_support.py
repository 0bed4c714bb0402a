"""What the tests of grammars share: a vocabulary, the laws of every matcher, walks, and texts in every spelling."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import logitwire as lw
from logitwire import errors


class Matcher(Protocol):
    def fill_mask(self, mask: NDArray[np.int32], row: int = 0) -> Any: ...
    def allows(self, token_id: int, /) -> bool: ...
    def accept(self, token_id: int, /) -> bool: ...
    def accept_bytes(self, data: bytes, /) -> bool: ...
    def is_accepting(self) -> bool: ...
    def is_terminated(self) -> bool: ...
    def rollback(self, n: int = 1, /) -> None: ...
    def fork(self) -> Any: ...


class Grammar(Protocol):
    def matcher(self) -> Any: ...


# Every byte, and what real vocabularies have: words, structure across values, digits in threes, characters cut in two.
WORDS = [
    '{"', '"}', '":', '": ', '", "', '","', "},", '":"', '":[', "[[", "]]", "]}", '{"a', '":{"', "  ", "\n",
    "\n  ", ", ", "true", "false", "null", "rue", "ull", "tr", "\\u", "\\u00", '\\"', "\\\\", '\\n"', "00e9", "d83d",
    "\\ud8", "ude00", "10", "100", "123", "000", "1.", ".0", ".5", "e+", "E-0", "-1", "-0", "0.", "12,", "1]", "0}",
    "7e", "99",
    "foo", "bar", "ab", "aa", "aaa", "abc", 'foo"', 'bar":', "é", "éa", "日本", "😀", 'é"', "-01-", "T00:", "2024",
    ":60",
]  # fmt: skip
TOKENS: list[bytes | None] = [bytes([byte]) for byte in range(256)]
TOKENS += [word.encode() for word in WORDS]
TOKENS += ["日".encode()[:2], "日".encode()[2:] + b'"', "😀".encode()[1:], b'"\xf0\x9f', b"", None, b"<pad>", b"<end>"]
END = len(TOKENS) - 1
VOCAB = lw.Vocab.from_bytes(TOKENS, special_ids=[END - 1, END], eos_ids=[END])


def bits(matcher: Matcher, vocab: lw.Vocab = VOCAB) -> NDArray[np.bool_]:
    """Of each token of the vocabulary whether the mask has it. Bits beyond the vocabulary are an error."""
    words = np.full((1, (len(vocab) + 31) // 32), -1, np.int32)
    matcher.fill_mask(words, 0)
    unpacked = np.unpackbits(words[0].view(np.uint8), bitorder="little").astype(bool)
    assert not unpacked[len(vocab) :].any(), "bits beyond the vocabulary"
    return unpacked[: len(vocab)]


def token_bytes(vocab: lw.Vocab, token_id: int) -> bytes:
    """b"" if it adds none to a text, or is no token at all."""
    try:
        return b"" if vocab.is_special(token_id) else vocab.token_bytes(token_id)
    except errors.TokenIdError:
        return b""


def reads(grammar: Grammar, text: bytes) -> bool:
    """Whether it is one of the grammar's texts."""
    matcher = grammar.matcher()
    return bool((not text or matcher.accept_bytes(text)) and matcher.is_accepting())


def pieces(text: bytes, rng: random.Random, vocab: lw.Vocab = VOCAB) -> list[int]:
    """The text cut into tokens somehow."""
    by_first: dict[int, list[int]] = {}
    for token_id in range(len(vocab)):
        if token := token_bytes(vocab, token_id):
            by_first.setdefault(token[0], []).append(token_id)
    cut, at = [], 0
    while at < len(text):
        fits = [t for t in by_first[text[at]] if text.startswith(token_bytes(vocab, t), at)]
        cut.append(rng.choice(fits))
        at += len(token_bytes(vocab, cut[-1]))
    return cut


def check_mask(matcher: Matcher, vocab: lw.Vocab = VOCAB) -> NDArray[np.bool_]:
    """The law of masks: a bit is set exactly if the token's bytes, one after the other, may come next, and the end's
    exactly where the text may end."""
    mask = bits(matcher, vocab)
    for token_id in range(len(vocab)):
        token = token_bytes(vocab, token_id)
        if token_id in vocab.eos_ids:
            expected = matcher.is_accepting()
        elif token == b"":
            expected = False
        elif len(token) == 1:
            expected = matcher.fork().accept_bytes(token)
        else:
            walker = matcher.fork()
            expected = all(walker.accept_bytes(token[i : i + 1]) for i in range(len(token)))
        assert mask[token_id] == expected, (token_id, token, bool(mask[token_id]))
        assert matcher.allows(token_id) == expected, (token_id, token)
    return mask


def check_sequence(grammar: Grammar, text: bytes, is_read: bool, rng: random.Random, vocab: lw.Vocab = VOCAB) -> None:
    """The laws of a text: however it is cut, it is read or not; what was read may be taken back and read again; a mask
    that was learned is the mask of a matcher that just came there."""
    for _ in range(2):
        matcher = grammar.matcher()
        read = all(matcher.accept(token_id) for token_id in pieces(text, rng, vocab))
        assert (read and matcher.is_accepting()) == is_read, text
    matcher, taken = grammar.matcher(), 0
    cut = pieces(text, rng, vocab)
    for token_id in cut:
        before = bits(matcher, vocab)
        assert matcher.accept(token_id) == bool(before[token_id]), (text, token_id)
        if not before[token_id]:
            break
        taken += 1
    here = bits(matcher, vocab)
    fork, n = matcher.fork(), rng.randint(0, taken)
    fork.rollback(n)
    replayed = grammar.matcher()
    assert all(replayed.accept(token_id) for token_id in cut[: taken - n])
    assert (bits(fork, vocab) == bits(replayed, vocab)).all(), (text, taken, n)
    assert all(fork.accept(token_id) for token_id in cut[taken - n : taken])
    assert (bits(fork, vocab) == here).all(), (text, taken, n)
    assert (bits(matcher, vocab) == here).all(), (text, taken, n)


@cache
def closing_ids(vocab: lw.Vocab) -> NDArray[np.intp]:
    """Tokens that bring a text nearer to its end."""
    closing = [t for t in range(len(vocab)) if token_bytes(vocab, t) in (b'"', b"}", b"]", b"0", b",", b":")]
    return np.array(closing, np.intp)


def walk(
    grammar: Grammar,
    rng: random.Random,
    *,
    prefix: bytes = b"",
    length: int = 60,
    every: Callable[[Matcher], NDArray[np.bool_]] = bits,
    vocab: lw.Vocab = VOCAB,
) -> bytes | None:
    """A text sampled from nothing but masks, after a prefix; None if it was not done after so many tokens. No mask is
    empty."""
    matcher, text = grammar.matcher(), prefix
    assert not prefix or matcher.accept_bytes(prefix)
    for n in range(length):
        mask = every(matcher)
        allowed = np.flatnonzero(mask)
        assert len(allowed), f"a dead end after {text!r}"
        if mask[vocab.eos_ids].any() and (n > length // 2 or rng.random() < 0.5):
            return text
        closing = closing_ids(vocab)[mask[closing_ids(vocab)]]
        chosen = closing if len(closing) and rng.random() < n / length + 0.2 else allowed
        token_id = int(chosen[rng.randrange(len(chosen))])
        if token_id in vocab.eos_ids:
            return text
        assert matcher.accept(token_id)
        text += token_bytes(vocab, token_id)
    return None


def respelled(value: Any, rng: random.Random) -> Iterator[str]:
    """The same JSON value, spelled otherwise: spaces, order of keys, escapes, zeros behind the point."""
    yield write(value, rng, escapes=0.0, spaces=0.0)
    yield indented(value, 0)
    yield f"\t{write(value, rng, escapes=0.0, spaces=0.5)}\n"
    yield write(value, rng, escapes=1.0, spaces=0.1)
    yield write(value, rng, escapes=0.3, spaces=0.3)


def indented(value: Any, depth: int) -> str:
    """As editors do it."""
    items = [f"{json.dumps(k)}: {indented(v, depth + 1)}" for k, v in value.items()] if isinstance(value, dict) else []
    items = [indented(v, depth + 1) for v in value] if isinstance(value, list) else items
    if not isinstance(value, (dict, list)):
        return str(value) if isinstance(value, Decimal) else json.dumps(value)
    left, right = "{}" if isinstance(value, dict) else "[]"
    inner = "\n" + "  " * (depth + 1)
    return left + inner + f",{inner}".join(items) + "\n" + "  " * depth + right if items else left + right


SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def write_text(text: str, rng: random.Random, escapes: float) -> str:
    out = ""
    for c in text:
        if rng.random() < escapes:
            units = c.encode("utf-16-be", "surrogatepass")
            hexes = [f"{units[i : i + 2].hex()}" for i in range(0, len(units), 2)]
            spelled = "".join("\\u" + (h.upper() if rng.random() < 0.5 else h) for h in hexes)
            out += SHORT[c] if c in SHORT and rng.random() < 0.5 else spelled
        else:
            out += SHORT[c] if c in '"\\\b\f\n\r\t' else json.dumps(c)[1:-1] if c < " " else c
    return f'"{out}"'


def write(value: Any, rng: random.Random, escapes: float, spaces: float) -> str:
    def space() -> str:
        return rng.choice([" ", "\n", "\t", "\r", "  "]) if rng.random() < spaces else ""

    if isinstance(value, str):
        return write_text(value, rng, escapes)
    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        members = (
            f"{space()}{write_text(k, rng, escapes)}{space()}:{space()}{write(v, rng, escapes, spaces)}{space()}"
            for k, v in items
        )
        return "{" + (",".join(members) or space()) + "}"
    if isinstance(value, list):
        return "[" + (",".join(f"{space()}{write(v, rng, escapes, spaces)}{space()}" for v in value) or space()) + "]"
    if isinstance(value, int) and not isinstance(value, bool) and rng.random() < escapes:
        return f"{value}.{'0' * rng.randint(1, 3)}"
    if isinstance(value, (float, Decimal)):
        text = json.dumps(float(value)) if isinstance(value, float) else str(value)
        return text + "0" if "." in text and "e" not in text.lower() and rng.random() < escapes else text
    return json.dumps(value)

"""The detokenizer against bytes.decode("utf-8", "replace"), however the bytes are cut into tokens."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

import pytest
from conftest import vectors
from hypothesis import given
from hypothesis import strategies as st
from reference import detokenize as reference

import logitwire as lw

# Lead and continuation bytes at every edge of the table of well-formed sequences (Unicode 15, table 3-7).
EDGES = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE]
EDGES += [0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]
BYTES = lw.Vocab.from_bytes([bytes([b]) for b in range(256)])


def stream(tokens: list[bytes], special: Sequence[int] = ()) -> list[str]:
    detokenizer = lw.Vocab.from_bytes(tokens, special_ids=special).detokenizer()
    return [*(detokenizer.step(i) for i in range(len(tokens))), detokenizer.finish()]


def expected(tokens: list[bytes], special: Sequence[int] = ()) -> list[str]:
    detokenizer = reference.Detokenizer(tokens, special)
    return [*(detokenizer.step(i) for i in range(len(tokens))), detokenizer.finish()]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in vectors("detokenize")])
def test_vectors(case: dict) -> None:
    tokens = [bytes.fromhex(token) for token in case["tokens"]]
    assert b"".join(tokens).decode("utf-8", "replace") == case["text"]
    assert "".join(stream(tokens)) == case["text"]
    assert stream(tokens) == expected(tokens)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in vectors("detokenize")])
def test_every_split(case: dict) -> None:
    data = b"".join(bytes.fromhex(token) for token in case["tokens"])
    for n_cuts in range(min(len(data), 4)):
        for cut in combinations(range(1, len(data)), n_cuts):
            tokens = [data[i:j] for i, j in zip((0, *cut), (*cut, len(data)), strict=True)]
            assert stream(tokens) == expected(tokens), tokens


def test_all_short_sequences_of_edge_bytes() -> None:
    """Every string of three edge bytes, byte by byte: 15,625 streams through one detokenizer."""
    detokenizer = BYTES.detokenizer()
    for a in EDGES:
        for b in EDGES:
            for c in EDGES:
                data = bytes((a, b, c))
                got = [detokenizer.step(a), detokenizer.step(b), detokenizer.step(c), detokenizer.finish()]
                assert "".join(got) == data.decode("utf-8", "replace"), data
                assert got[0] + got[1] + got[2] == reference.certain(data), data


def test_random_streams_of_edge_bytes_piece_by_piece() -> None:
    rng = random.Random(3)
    for _ in range(1500):
        tokens = [bytes(rng.choices(EDGES, k=rng.randint(0, 5))) for _ in range(rng.randint(1, 12))]
        special = [i for i in range(len(tokens)) if rng.random() < 0.2]
        assert stream(tokens, special) == expected(tokens, special), tokens


@given(st.lists(st.binary(max_size=6) | st.text(max_size=3).map(str.encode), min_size=1, max_size=20))
def test_any_tokens(tokens: list[bytes]) -> None:
    pieces = stream(tokens)
    assert pieces == expected(tokens)
    assert "".join(pieces) == b"".join(tokens).decode("utf-8", "replace")


@given(st.text(max_size=40), st.randoms(use_true_random=False))
def test_text_cut_anywhere_is_itself_and_never_half_a_character(text: str, rng: random.Random) -> None:
    data = text.encode()
    cut = sorted(rng.randint(0, len(data)) for _ in range(8))
    pieces = stream([data[i:j] for i, j in zip([0, *cut], [*cut, len(data)], strict=True)])
    assert "".join(pieces) == text
    assert pieces[-1] == ""


def test_special_tokens_and_holes_inside_a_character() -> None:
    vocab = lw.Vocab.from_bytes([b"\xe2\x82", b"\xac", b"<end>", None], special_ids=[2])
    skipping, showing = vocab.detokenizer(), vocab.detokenizer(skip_special_tokens=False)
    ids = [0, 2, 3, 99, 1]
    assert [skipping.step(i) for i in ids] == ["", "", "", "", "\u20ac"]
    assert [showing.step(i) for i in ids] == ["", "\ufffd<end>", "", "", "\ufffd"]


def test_finish_makes_it_new_and_reset_forgets() -> None:
    detokenizer = BYTES.detokenizer()
    assert (detokenizer.step(0xF0), detokenizer.finish(), detokenizer.finish()) == ("", "\ufffd", "")
    detokenizer.step(0xE2)
    detokenizer.reset()
    assert (detokenizer.step(0x41), detokenizer.finish()) == ("A", "")


@pytest.mark.parametrize("token_id", [-1, 256, 2**31, 2**32, 2**63 - 1])
def test_ids_the_vocabulary_lacks_give_nothing(token_id: int) -> None:
    detokenizer = BYTES.detokenizer()
    assert detokenizer.step(0xC3) == ""
    assert detokenizer.step(token_id) == ""
    assert detokenizer.step(0xA9) == "é"


def test_streams_of_one_vocabulary_do_not_know_each_other() -> None:
    first, second = BYTES.detokenizer(), BYTES.detokenizer()
    assert (first.step(0xC3), second.step(0xA9), first.step(0xA9)) == ("", "\ufffd", "é")


def test_what_never_completes_goes_out_at_once() -> None:
    """The peers' quadratic case: each lone continuation byte is certain the moment it comes."""
    detokenizer = BYTES.detokenizer()
    assert all(detokenizer.step(0x80) == "\ufffd" for _ in range(20_000))


def test_skipped_special_tokens_for_ever() -> None:
    detokenizer = lw.Vocab.from_bytes([b"a", b"<s>"], special_ids=[1]).detokenizer()
    assert all(detokenizer.step(1) == "" for _ in range(20_000))
    assert detokenizer.step(0) == "a"


def test_a_long_token() -> None:
    token = ("é" * 30_000).encode()[:-1]
    assert stream([token, b"\xa9"]) == ["é" * 29_999, "é", ""]


def test_ids_may_be_numpy_integers() -> None:
    import numpy as np

    assert BYTES.detokenizer().step(np.int32(0x41)) == "A"

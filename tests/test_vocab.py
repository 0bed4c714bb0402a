"""Vocab: ids and the bytes each stands for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import logitwire as lw


@given(
    st.lists(st.none() | st.binary(max_size=8), min_size=1, max_size=40).filter(lambda t: any(x is not None for x in t))
)
def test_what_went_in_comes_out(tokens: list[bytes | None]) -> None:
    vocab = lw.Vocab.from_bytes(tokens)
    assert len(vocab) == len(tokens)
    for token_id, token in enumerate(tokens):
        if token is None:
            with pytest.raises(lw.TokenIdError):
                vocab.token_bytes(token_id)
        else:
            assert vocab.token_bytes(token_id) == token


def test_special_and_eos_ids() -> None:
    vocab = lw.Vocab.from_bytes([b"a", b"<s>", None, b"</s>", b""], special_ids=[3, 1, 3], eos_ids=iter([3, 3]))
    assert vocab.special_ids == [1, 3]
    assert vocab.eos_ids == [3]
    assert [vocab.is_special(i) for i in range(5)] == [False, True, False, True, False]
    assert vocab.token_bytes(4) == b""


def test_an_eos_id_need_not_be_special() -> None:
    vocab = lw.Vocab.from_bytes([b"a", b"b"], eos_ids=[1])
    assert not vocab.is_special(1)


@pytest.mark.parametrize("tokens", [[], [None], [None, None]])
def test_empty(tokens: list[bytes | None]) -> None:
    with pytest.raises(lw.VocabError):
        lw.Vocab.from_bytes(tokens)


@pytest.mark.parametrize("where", ["special_ids", "eos_ids"])
@pytest.mark.parametrize("token_id", [1, 3, -1, 2**31, 2**32, 2**40])
def test_special_ids_outside(where: str, token_id: int) -> None:
    with pytest.raises(lw.TokenIdError) as caught:
        lw.Vocab.from_bytes([b"a", None, b"b"], **{where: [token_id]})
    assert caught.value.token_id == token_id
    assert caught.value.vocab_size == 3


@pytest.mark.parametrize("token_id", [3, -1, 2**31, 2**32, 2**63 - 1])
def test_token_bytes_outside(token_id: int) -> None:
    with pytest.raises(lw.TokenIdError) as caught:
        lw.Vocab.from_bytes([b"a", b"b", b"c"]).token_bytes(token_id)
    assert caught.value.token_id == token_id


def test_is_special_outside_is_false() -> None:
    vocab = lw.Vocab.from_bytes([b"a"], special_ids=[0])
    assert not vocab.is_special(5)


def test_limits() -> None:
    limit = lw.limits()["token_bytes"]
    assert lw.Vocab.from_bytes([b"x" * limit]).token_bytes(0) == b"x" * limit
    with pytest.raises(lw.LimitError):
        lw.Vocab.from_bytes([b"x" * (limit + 1)])


@pytest.mark.parametrize("tokens", [b"abc", "abc", [1, 2], ["a"], None, 5])
def test_tokens_of_another_type(tokens: object) -> None:
    with pytest.raises(TypeError):
        lw.Vocab.from_bytes(tokens)

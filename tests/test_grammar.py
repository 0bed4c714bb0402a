"""Grammars and matchers as Python has them: arguments, arrays, errors, threads, and a request held to one.

That a mask is right is the machines' business, and tested with them; here it is that everybody is told the same.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import logitwire as lw
from logitwire import errors

TOKENS = [b"a", b"b", b"ab", b"aba", b"", b"<end>", b"bb", b"<pad>", None, "é".encode()[:1], "é".encode()[1:]]
END = 5
VOCAB = lw.Vocab.from_bytes(TOKENS, special_ids=[END, 7], eos_ids=[END])
TEXTS = ["ab", "abab", "abb", "b", "é", "éa"]


def choice(texts: Sequence[str] = TEXTS, vocab: lw.Vocab = VOCAB) -> lw.Grammar:
    return lw.Grammar.choice(vocab, texts)


def allowed(text: bytes, texts: Sequence[str] = TEXTS, vocab: lw.Vocab = VOCAB) -> list[int]:
    """The tokens that may follow, from the texts alone."""
    wholes = [whole.encode() for whole in texts]
    found = []
    for token_id in range(len(vocab)):
        if token_id in vocab.eos_ids:
            may = text in wholes
        else:
            token = b"" if vocab.is_special(token_id) or TOKENS[token_id] is None else vocab.token_bytes(token_id)
            may = token != b"" and any(whole.startswith(text + token) for whole in wholes)
        if may:
            found.append(token_id)
    return found


def ids_of(mask: NDArray[Any]) -> list[int]:
    bits = np.unpackbits(mask.view(np.uint8), bitorder="little")
    return np.flatnonzero(bits).tolist()


@given(st.lists(st.integers(0, len(TOKENS) + 2), max_size=8))
def test_every_method_tells_the_same(tokens: list[int]) -> None:
    matcher = choice().matcher()
    text, ended, taken = b"", False, 0
    for token_id in tokens:
        want = [] if ended else allowed(text)
        mask = np.full((2, 3), -1, np.int32)
        matcher.fill_mask(mask, 1)
        assert (ids_of(mask[0]), ids_of(mask[1])) == (list(range(96)), want)
        assert matcher.allowed_tokens() == want
        assert matcher.is_accepting() == (not ended and text.decode("utf-8", "replace") in TEXTS)
        assert matcher.is_complete() == (matcher.is_accepting() and want == [END])
        assert matcher.allows(token_id) == (token_id in want) == bool(matcher.validate([token_id]))
        assert matcher.accept(token_id) == (token_id in want)
        if token_id in want:
            taken += 1
            ended = token_id == END
            text += b"" if ended else VOCAB.token_bytes(token_id)
        assert (len(matcher), matcher.is_terminated()) == (taken, ended)


@given(st.lists(st.sampled_from([0, 1, 2, 3, END, 6, 9, 10]), max_size=8), st.data())
def test_a_fork_a_rollback_and_a_reset_are_replays(tokens: list[int], data: st.DataObject) -> None:
    matcher, taken = choice().matcher(), []
    for token_id in tokens:
        if matcher.accept(token_id):
            taken.append(token_id)
    assert choice().matcher().validate(taken) == len(taken)
    n = data.draw(st.integers(0, len(taken)))
    replayed = choice().matcher()
    assert all(replayed.accept(token_id) for token_id in taken[: len(taken) - n])
    before = matcher.allowed_tokens()
    for fork in (matcher.fork(), copy.copy(matcher)):
        fork.rollback(n)
        assert (fork.allowed_tokens(), len(fork)) == (replayed.allowed_tokens(), len(replayed))
        fork.reset()
        assert (fork.allowed_tokens(), len(fork)) == (choice().matcher().allowed_tokens(), 0)
    assert (matcher.allowed_tokens(), len(matcher)) == (before, len(taken))


def test_bytes_from_elsewhere_are_one_piece() -> None:
    matcher = choice().matcher()
    assert not matcher.accept_bytes(b"abc")
    assert matcher.accept_bytes(memoryview(b"aba"))
    assert matcher.forced_bytes() == b"b"
    matcher.rollback()
    assert (len(matcher), matcher.forced_bytes()) == (0, b"")
    with pytest.raises(TypeError):
        matcher.accept_bytes("a")  # type: ignore[arg-type]


def test_forced_bytes_stop_where_the_text_may_end_and_at_a_bound() -> None:
    assert choice(["abab"]).matcher().forced_bytes() == b"abab"
    assert choice(["abab", "abb", "abbb"]).matcher().forced_bytes() == b"ab"
    assert choice(["a", "ab"]).matcher().forced_bytes() == b"a"
    assert choice(["é"]).matcher().forced_bytes() == "é".encode()
    assert choice(["a" * 5000]).matcher().forced_bytes() == b"a" * 4096


def test_stop_token_ids_end_a_text() -> None:
    matcher = choice().matcher(stop_token_ids=[1])
    assert matcher.allowed_tokens() == [0, 2, 3, 9]
    assert matcher.accept(2)
    assert matcher.allowed_tokens() == [0, 1, 2, END]
    assert matcher.accept(1)
    assert matcher.is_terminated()
    matcher.rollback()
    assert not matcher.is_terminated()
    with pytest.raises(errors.TokenIdError):
        choice().matcher(stop_token_ids=[99])


def test_what_a_call_says_of_the_mask() -> None:
    mask = np.zeros(1, np.int32)
    matcher = choice().matcher()
    assert [matcher.fill_mask(mask), matcher.fill_mask(mask)] == ["changed", "unchanged"]
    assert matcher.accept(0)
    assert matcher.fill_mask(mask) == "changed"
    everything = lw.Vocab.from_bytes([b"a", b"<end>"], special_ids=[1], eos_ids=[1])
    assert choice(["a", ""], everything).matcher().fill_mask(mask) == "all"


STRIDED: list[Callable[[], Any]] = [
    lambda: np.full((3, 2), -1, np.int32),
    lambda: np.full((3, 2), -1, np.int32)[::-1],
    lambda: np.full((6, 4), -1, np.int32)[::2, 1:3],
]


@pytest.mark.parametrize("make", STRIDED)
@pytest.mark.parametrize("library", ["numpy", "torch", "dlpack"])
def test_a_mask_may_be_anybodys_at_any_stride(make: Callable[[], Any], library: str) -> None:
    array = make()
    given: Any = array
    if library == "torch":
        torch = pytest.importorskip("torch")
        if array.strides[0] < 0:
            pytest.skip("torch has no negative strides")
        given = torch.from_numpy(array)
    elif library == "dlpack":
        given = OnlyDlpack(array)
    matcher = choice().matcher()
    for row in range(3):
        assert matcher.fill_mask(given, row) == ("changed" if row == 0 else "unchanged")
    assert [ids_of(np.ascontiguousarray(row)) for row in array] == [allowed(b"")] * 3
    array[:] = -1
    assert lw.fill_masks([None, matcher, None], given)[0::2] == [None, None]
    assert [ids_of(np.ascontiguousarray(row)) for row in array[:2]] == [list(range(64)), allowed(b"")]


class OnlyDlpack:
    """An array without the buffer protocol."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def test_masks_that_cannot_be_written_are_refused() -> None:
    matcher = choice().matcher()
    read_only = np.zeros((2, 1), np.int32)
    read_only.flags.writeable = False
    overlapping = np.lib.stride_tricks.as_strided(np.zeros(4, np.int32), (2, 2), (4, 4))
    for mask in [read_only, overlapping, np.zeros((2, 0), np.int32), np.zeros((2, 1), np.int64), [[0], [0]], None]:
        with pytest.raises(errors.ArrayError):
            matcher.fill_mask(mask)  # type: ignore[arg-type]
        with pytest.raises(errors.ArrayError):
            lw.fill_masks([matcher, matcher], mask)  # type: ignore[arg-type]
    for row in (-1, 2, 2**40):
        with pytest.raises(errors.ParameterError, match="row") as caught:
            matcher.fill_mask(np.zeros((2, 1), np.int32), row)
        assert caught.value.field == "row"
    with pytest.raises(errors.ArrayError, match="2 rows for 1 matchers"):
        lw.fill_masks([matcher], np.zeros((2, 1), np.int32))
    with pytest.raises(errors.ParameterError, match="threads"):
        lw.fill_masks([matcher], np.zeros((1, 1), np.int32), threads=0)


def test_arguments_of_the_wrong_type_are_type_errors() -> None:
    matcher = choice().matcher()
    for wrong in ["a", None, 1.5, b"a"]:
        for method in (matcher.accept, matcher.allows, matcher.validate):
            with pytest.raises(TypeError):
                method(wrong)  # type: ignore[operator]
    with pytest.raises(TypeError, match="Tokenizer or a Vocab"):
        lw.Grammar.choice("ab", ["a"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not one str"):
        lw.Grammar.choice(VOCAB, "ab")
    with pytest.raises(TypeError):
        lw.fill_masks([1], np.zeros((1, 1), np.int32))  # type: ignore[list-item]


def test_ids_no_vocabulary_has_are_not_allowed() -> None:
    matcher = choice().matcher()
    for token_id in [-1, len(TOKENS), 2**31, 2**32, 2**70, -(2**70)]:
        assert not matcher.allows(token_id)
        assert not matcher.accept(token_id)
        assert matcher.validate([token_id]) == 0


def test_rollback_takes_back_no_more_than_there_is() -> None:
    matcher = choice().matcher()
    assert matcher.accept(2)
    for n in (2, -1):
        with pytest.raises(errors.ParameterError) as caught:
            matcher.rollback(n)
        assert caught.value.field == "n"
    assert len(matcher) == 1
    matcher.rollback(0)
    assert len(matcher) == 1


def test_a_grammar_and_its_matchers_know_each_other() -> None:
    grammar = choice()
    matcher = grammar.matcher()
    assert matcher
    assert matcher.grammar is grammar
    assert matcher.fork().grammar is grammar
    assert len(grammar.vocab) == len(TOKENS)
    assert grammar.memory_bytes >= 0
    assert grammar.relaxed == []
    assert "Grammar" in repr(grammar)


def test_threads_may_share_a_matcher_and_a_grammar() -> None:
    texts = [f"{i:03}" for i in range(200)]
    vocab = lw.Vocab.from_bytes([*(str(digit).encode() for digit in range(10)), b"<end>"], eos_ids=[10])
    grammars = [lw.Grammar.choice(vocab, texts) for _ in range(3)]
    shared = grammars[0].matcher()
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            rng = np.random.default_rng(seed)
            mask = np.zeros((6, 1), np.int32)
            for _ in range(30):
                matchers = [grammars[int(i)].matcher() for i in rng.integers(0, 3, 6)]
                for _ in range(3):
                    lw.fill_masks(matchers, mask, threads=2)
                    for matcher, row in zip(matchers, mask, strict=True):
                        assert matcher.accept(int(rng.choice(ids_of(row))))
                lw.fill_masks(matchers, mask)
                assert [ids_of(row) for row in mask] == [[10]] * 6
                # Whatever others do to it meanwhile.
                shared.reset()
                shared.accept(int(rng.integers(0, 10)))
                shared.fill_mask(mask, 0)
                lw.fill_masks([shared] * 6, mask)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


class TestInTheLine:
    """A request held to a grammar, by `Batch`, against the stations called one by one."""

    @pytest.mark.parametrize("temperature", [0.0, 1.0])
    @pytest.mark.parametrize("seed", range(5))
    def test_a_row_is_what_the_stations_give(self, temperature: float, seed: int) -> None:
        grammar = choice()
        params = lw.SamplingParams(temperature=temperature, seed=seed)
        rows = np.random.default_rng(seed).standard_normal((8, 1, 40)).astype(np.float32)
        batch = lw.Batch(VOCAB, vocab_size=40)
        slot = batch.add(params, grammar=grammar)
        sampler, matcher = lw.Sampler(40, vocab=VOCAB), grammar.matcher()
        own = sampler.add(params)
        mask = np.zeros((1, 2), np.int32)
        text = b""
        for row in rows:
            matcher.fill_mask(mask)
            want = int(sampler.step(row, [own], mask=mask).tokens[0])
            step = batch.step(row, [slot])
            assert step.tokens.tolist() == [want]
            assert matcher.accept(want)
            text += step.text
            finish = lw.FinishReason(int(step.finish[0]))
            if finish is not lw.FinishReason.RUNNING:
                assert finish.reason == "stop"
                assert matcher.is_terminated() == (finish is lw.FinishReason.EOS)
                assert matcher.is_complete() == (finish is lw.FinishReason.GRAMMAR)
                break
            assert not matcher.is_complete()
        assert text.decode() in TEXTS

    def step(self, favourites: Sequence[int], mask: Any = None, **options: Any) -> tuple[list[int], bytes, Any]:
        """The tokens, text and last columns of a request whose rows prefer one token each."""
        vocab = options.pop("vocab", VOCAB)
        batch = lw.Batch(vocab)
        slot = batch.add(lw.SamplingParams(temperature=0), **options)
        tokens, text = [], b""
        for favourite in favourites:
            logits = np.zeros((1, len(vocab)), np.float32)
            logits[0, favourite] = 9
            step = batch.step(logits, [slot], mask=mask)
            tokens.append(int(step.tokens[0]))
            text += step.text
            if step.finish[0] != lw.FinishReason.RUNNING:
                break
        return tokens, text, step

    def test_it_ends_where_nothing_may_follow(self) -> None:
        tokens, text, step = self.step([9, 10, 0, 0], grammar=choice())
        assert (tokens, text, step.finish[0]) == ([9, 10, 0], "éa".encode(), lw.FinishReason.GRAMMAR)

    def test_a_whole_text_is_no_truncated_one(self) -> None:
        tokens, _, step = self.step([0, 6], grammar=choice(), max_tokens=2)
        assert (tokens, step.finish[0]) == ([0, 6], lw.FinishReason.GRAMMAR)
        _, _, step = self.step([0, 1], grammar=choice(), max_tokens=2)
        assert step.finish[0] == lw.FinishReason.LENGTH

    def test_an_end_token_comes_exactly_where_the_text_may_end(self) -> None:
        tokens, text, step = self.step([END, END, END], grammar=choice())
        assert (tokens, text, step.finish[0]) == ([0, 1, END], b"ab", lw.FinishReason.EOS)

    def test_stop_token_ids_do_too(self) -> None:
        tokens, text, step = self.step([1, 1], grammar=choice(["ab", "abb"]), stop_token_ids=[1])
        assert (tokens[0], text[:1], step.finish[0]) == (0, b"a", lw.FinishReason.GRAMMAR)
        tokens, text, step = self.step([2, 1], grammar=choice(["ab", "abb"]), stop_token_ids=[1])
        assert (tokens, text, step.finish[0]) == ([2, 1], b"ab", lw.FinishReason.STOP_TOKEN)

    def test_a_stop_string_ends_it_earlier(self) -> None:
        tokens, text, step = self.step([0, 1], grammar=choice(), stop=["b"])
        assert (tokens, text, step.finish[0]) == ([0, 1], b"a", lw.FinishReason.STOP_STRING)

    def test_an_end_token_that_is_taken_as_any_other_is_not_allowed(self) -> None:
        tokens, _, step = self.step([END, END, END, END], grammar=choice(["ab", "abab"]), ignore_eos=True)
        assert END not in tokens
        assert step.finish[0] == lw.FinishReason.GRAMMAR

    def test_within_min_tokens_it_goes_on_or_is_empty(self) -> None:
        tokens, _, step = self.step([2, END], grammar=choice(), min_tokens=2)
        assert (tokens[0], len(tokens), tokens[1] != END) == (2, 2, True)
        _, _, step = self.step([1, END], grammar=choice(["b"]), min_tokens=2)
        assert (step.status[0], step.finish[0]) == (lw.RowStatus.EMPTY, lw.FinishReason.ERROR)

    def test_a_mask_given_narrows_it(self) -> None:
        mask = np.zeros((1, 1), np.int32)
        mask[0, 0] = 1 << 0 | 1 << 4
        tokens, _, _ = self.step([2], mask, grammar=choice())
        assert tokens == [0]
        mask[0, 0] = 1 << 4
        _, _, step = self.step([2], mask, grammar=choice())
        assert step.status[0] == lw.RowStatus.EMPTY

    def test_a_grammar_of_another_vocabulary_is_refused(self) -> None:
        other = lw.Vocab.from_bytes(TOKENS, special_ids=[END, 7], eos_ids=[END])
        with pytest.raises(errors.VocabError, match="another"):
            lw.Batch(other).add(lw.SamplingParams(), grammar=choice())

    def test_candidates_are_held_to_it_as_well(self) -> None:
        batch = lw.Batch(VOCAB)
        slot = batch.add(lw.SamplingParams(temperature=0), grammar=choice())
        ids = np.array([[10, 3, 0, 7]], np.int32)
        step = batch.step_candidates(ids, np.array([[9, 1, 2, 8]], np.float32), np.zeros(1, np.float32), [slot])
        assert step.tokens.tolist() == [0]

    def test_generate_and_stream_take_one(self) -> None:
        def model(tokens: Sequence[int]) -> NDArray[np.float32]:
            logits = np.zeros(len(TOKENS), np.float32)
            logits[1 if len(tokens) % 2 else 6] = 5
            return logits

        done = lw.generate(model, VOCAB, [0], temperature=0, grammar=choice(["abb", "bbb", "bbbb"]))
        assert (done.text, done.finish_reason) == ("bbbb", "stop")
        pieces = list(lw.stream(model, VOCAB, [0], temperature=0, grammar=choice(["abb"])))
        assert "".join(piece.text for piece in pieces) == "abb"
        with pytest.raises(errors.VocabError):
            lw.generate(model, lw.Vocab.from_bytes([b"a"]), [0], grammar=choice())


def test_a_text_that_begins_anew_drops_the_first_space() -> None:
    """SentencePiece's tokens mark the beginning of a word, which at the beginning of a text is no space."""
    tokenizer = lw.Tokenizer.from_json(
        """{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "Metaspace", "replacement": "\\u2581", "prepend_scheme": "always", "split": true},
        "model": {"type": "BPE", "vocab": {"a": 0, "\\u2581a": 1, "\\u2581": 2}, "merges": [["\\u2581", "a"]]}}"""
    )
    grammar = lw.Grammar.choice(tokenizer, ["a", "aa", "a a"])
    matcher = grammar.matcher()
    assert matcher.allowed_tokens() == [0, 1]
    assert matcher.accept(1)
    assert matcher.allowed_tokens() == [0, 1, 2]
    assert matcher.accept(1)
    assert matcher.is_complete()
    continued = grammar.matcher(continuation=True)
    assert continued.allowed_tokens() == [0]
    assert not continued.accept(1)


def test_a_decoder_that_looks_at_whole_texts_is_refused() -> None:
    tokenizer = lw.Tokenizer.from_json(
        """{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "BPEDecoder", "suffix": "</w>"},
        "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}"""
    )
    with pytest.raises(errors.VocabError, match="decoder"):
        lw.Grammar.choice(tokenizer, ["a"])

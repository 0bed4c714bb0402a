"""One request down its line: what ends it, which reason wins, and what text and frames come out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from reference import line as reference
from reference import sse as reference_sse

import logitwire as lw

TOKENS = [
    b"a",
    b"b",
    b"END",
    b"\xe2\x82",
    b"\xac",
    b" ",
    b"<eos>",
    b"<other>",
    b"E",
    b"ND",
    b"\xf0\x9f\x98",
    b"<pad>",
    None,
]
A, B, END, EURO_1, EURO_2, SPACE, EOS, OTHER, E, ND, HALF_EMOJI, PAD, HOLE = range(len(TOKENS))
VOCAB = lw.Vocab.from_bytes(TOKENS, special_ids=[EOS, PAD], eos_ids=[EOS])
GREEDY = lw.SamplingParams(temperature=0)


def forced(token_id: int) -> np.ndarray:
    return np.where(np.arange(len(TOKENS)) == token_id, np.float32(5), np.float32(0))


def run(ids: Sequence[int], **options: Any) -> tuple[list[str], lw.FinishReason, int]:
    """(the text of each step, the finish, the stop's index) of a batch of one forced to draw these ids.

    Fails unless the line with its stations called one by one says the same of every step.
    """
    batch, line = lw.Batch(VOCAB), reference.Line(VOCAB, GREEDY, **options)
    if "stop_tie" in options:
        include_stop, tie = options.pop("include_stop", False), options.pop("stop_tie")
        options["stop"] = lw.StopMatcher(options["stop"], include_stop=include_stop, stop_tie=tie)
    slot = batch.add(GREEDY, **options)
    texts, finish, stop_index = [], lw.FinishReason.RUNNING, -1
    for i in ids:
        assert finish == lw.FinishReason.RUNNING
        out = batch.step(forced(i)[None], [slot])
        want = line.step(forced(i))
        finish, stop_index = lw.FinishReason(out.finish[0]), int(out.stop_index[0])
        assert (out.tokens[0], finish, stop_index, out.text) == (i, want.finish, want.stop_index, want.text)
        assert out.text_offsets.tolist() == [0, len(out.text)]
        assert out.frames == want.frames
        texts.append(out.text.decode())
    return texts, finish, stop_index


def test_end_of_generation() -> None:
    assert run([A, B, EOS]) == (["a", "b", ""], lw.FinishReason.EOS, -1)


def test_length() -> None:
    assert run([A, B], max_tokens=2) == (["a", "b"], lw.FinishReason.LENGTH, -1)
    assert run([A], max_tokens=1) == (["a"], lw.FinishReason.LENGTH, -1)
    assert run([A] * 50) == (["a"] * 50, lw.FinishReason.RUNNING, -1)


def test_stop_token_ids_end_without_text() -> None:
    assert run([A, OTHER], stop_token_ids=[B, OTHER]) == (["a", ""], lw.FinishReason.STOP_TOKEN, -1)


def test_stop_strings_across_tokens() -> None:
    assert run([A, E, ND], stop=["x", "END"]) == (["a", "", ""], lw.FinishReason.STOP_STRING, 1)
    assert run([A, E, A], stop=["END"]) == (["a", "", "Ea"], lw.FinishReason.RUNNING, -1)


def test_include_stop() -> None:
    assert run([A, E, ND], stop=["END"], include_stop=True) == (["a", "E", "ND"], lw.FinishReason.STOP_STRING, 0)


def test_a_stop_in_the_middle_of_a_token() -> None:
    assert run([A, END], stop=["N"]) == (["a", "E"], lw.FinishReason.STOP_STRING, 0)
    assert run([A, END], stop=["N"], include_stop=True) == (["a", "EN"], lw.FinishReason.STOP_STRING, 0)


def test_held_text_comes_at_the_end() -> None:
    assert run([A, E, EOS], stop=["END"]) == (["a", "", "E"], lw.FinishReason.EOS, -1)
    assert run([A, E], stop=["END"], max_tokens=2) == (["a", "E"], lw.FinishReason.LENGTH, -1)
    assert run([E, OTHER], stop=["END"], stop_token_ids=[OTHER]) == (["", "E"], lw.FinishReason.STOP_TOKEN, -1)


def test_half_a_character_at_the_end() -> None:
    assert run([A, EURO_1, EURO_2, EOS])[0] == ["a", "", "\u20ac", ""]
    assert run([A, EURO_1, EOS]) == (["a", "", "\ufffd"], lw.FinishReason.EOS, -1)
    assert run([A, EURO_1], max_tokens=2) == (["a", "\ufffd"], lw.FinishReason.LENGTH, -1)
    assert run([HALF_EMOJI, OTHER], stop_token_ids=[OTHER])[0] == ["", "\ufffd"]


# -- which reason wins -------------------------------------------------------------------------------------------------


def test_end_of_generation_over_length() -> None:
    assert run([A, EOS], max_tokens=2)[1] == lw.FinishReason.EOS


def test_stop_token_over_length() -> None:
    assert run([A, OTHER], max_tokens=2, stop_token_ids=[OTHER])[1] == lw.FinishReason.STOP_TOKEN


def test_end_of_generation_over_stop_token() -> None:
    assert run([EOS], stop_token_ids=[EOS])[1] == lw.FinishReason.EOS
    assert run([EOS], stop_token_ids=[EOS], ignore_eos=True)[1] == lw.FinishReason.STOP_TOKEN


def test_stop_string_in_the_last_token_over_length() -> None:
    assert run([A, END], stop=["END"], max_tokens=2) == (["a", ""], lw.FinishReason.STOP_STRING, 0)


def test_a_stop_string_in_what_the_end_let_go() -> None:
    """The detokenizer's flush passes through the matcher like any other text."""
    for ids, options in (
        ([A, EURO_1], {"max_tokens": 2}),
        ([A, EURO_1, EOS], {}),
        ([A, EURO_1, OTHER], {"stop_token_ids": [OTHER]}),
    ):
        texts, finish, stop_index = run(ids, stop=["x", "a\ufffd"], **options)
        assert ("".join(texts), finish, stop_index) == ("", lw.FinishReason.STOP_STRING, 1)


# -- options -----------------------------------------------------------------------------------------------------------


def test_ignore_eos_takes_the_token_as_any_other() -> None:
    assert run([A, EOS, B], ignore_eos=True, max_tokens=3) == (["a", "", "b"], lw.FinishReason.LENGTH, -1)
    shown = run([A, EOS, B], ignore_eos=True, max_tokens=3, skip_special_tokens=False)
    assert shown == (["a", "<eos>", "b"], lw.FinishReason.LENGTH, -1)


def test_special_tokens_are_text_only_if_asked() -> None:
    assert run([A, PAD, B])[0] == ["a", "", "b"]
    assert run([A, PAD, B], skip_special_tokens=False)[0] == ["a", "<pad>", "b"]
    # The token that ends it is never text.
    assert run([A, EOS], skip_special_tokens=False)[0] == ["a", ""]


def test_a_stop_string_may_be_a_special_token_s_text() -> None:
    shown = run([A, PAD], stop=["<pad>"], skip_special_tokens=False)
    assert shown == (["a", ""], lw.FinishReason.STOP_STRING, 0)
    assert run([PAD], stop=["x", "<pad>"], skip_special_tokens=False, include_stop=True)[0] == ["<pad>"]


# -- stop strings that a special token spells --------------------------------------------------------------------------


@pytest.mark.parametrize("include_stop", [False, True])
def test_a_stop_string_that_is_a_skipped_token_s_text(include_stop: bool) -> None:
    shown = "<pad>" if include_stop else ""
    ended = (["a", shown], lw.FinishReason.STOP_STRING, 1)
    assert run([A, PAD], stop=["x", "<pad>", "<pad>"], include_stop=include_stop) == ended
    # Over whatever else the token's id would end the request with, and over length.
    for options in ({"stop_token_ids": [PAD]}, {"max_tokens": 2}, {"min_tokens": 1}, {"stop_tie": "list"}):
        assert run([A, PAD], stop=["x", "<pad>"], include_stop=include_stop, **options) == ended
    for options in ({}, {"ignore_eos": True}, {"skip_special_tokens": False}):
        texts, finish, stop_index = run([A, EOS], stop=["<eos>"], include_stop=include_stop, **options)
        assert (texts[-1], finish, stop_index) == ("<eos>" * include_stop, lw.FinishReason.STOP_STRING, 0)


def test_a_stop_string_that_is_not_all_of_a_special_token_s_text_is_not_that_token() -> None:
    for stop in ("<pad", "pad>", "a", "<pad>b", "x<pad>"):
        texts, finish, _ = run([B, PAD, B], stop=[stop])
        assert ("".join(texts), finish) == ("bb", lw.FinishReason.RUNNING), stop
    # As text it is text like any other.
    assert run([A, PAD], stop=["pad"], skip_special_tokens=False)[0] == ["a", "<"]
    assert run([A, PAD], stop=["a<pad>"], skip_special_tokens=False)[1] == lw.FinishReason.STOP_STRING


def test_a_stop_string_that_is_an_ordinary_token_s_text_is_that_text() -> None:
    assert run([OTHER], stop=["<other>"]) == ([""], lw.FinishReason.STOP_STRING, 0)
    assert run([A, OTHER], stop=["a<other>"]) == (["", ""], lw.FinishReason.STOP_STRING, 0)
    assert run([A, OTHER], stop=["<other>"], stop_token_ids=[OTHER])[1] == lw.FinishReason.STOP_TOKEN


@pytest.mark.parametrize("include_stop", [False, True])
def test_what_is_held_comes_before_a_special_token_s_stop(include_stop: bool) -> None:
    texts, finish, stop_index = run([A, E, EURO_1, PAD], stop=["END", "<pad>"], include_stop=include_stop)
    assert ("".join(texts), finish, stop_index) == ("aE\ufffd" + "<pad>" * include_stop, lw.FinishReason.STOP_STRING, 1)
    # A stop in what it lets go ended first.
    texts, finish, stop_index = run([A, EURO_1, PAD], stop=["<pad>", "\ufffd"], include_stop=include_stop)
    assert ("".join(texts), finish, stop_index) == ("a" + "\ufffd" * include_stop, lw.FinishReason.STOP_STRING, 1)


# -- min_tokens --------------------------------------------------------------------------------------------------------


def test_a_stop_string_within_the_minimum_is_text() -> None:
    for n, texts, finish in (
        (0, ["a", ""], lw.FinishReason.STOP_STRING),
        (1, ["a", ""], lw.FinishReason.STOP_STRING),
        (2, ["a", "END", "b"], lw.FinishReason.RUNNING),
        (5, ["a", "END", "b"], lw.FinishReason.RUNNING),
    ):
        assert run([A, END, B][: len(texts)], stop=["END"], min_tokens=n)[:2] == (texts, finish)
    assert run([A, END, B], stop=["N"], include_stop=True, min_tokens=2)[0] == ["a", "END", "b"]


def test_a_stop_string_that_begins_within_the_minimum_and_ends_after_it() -> None:
    assert run([A, E, ND], stop=["END"], min_tokens=2) == (["a", "", ""], lw.FinishReason.STOP_STRING, 0)
    assert run([A, E, ND], stop=["END"], min_tokens=3) == (["a", "", "END"], lw.FinishReason.RUNNING, -1)
    assert run([END, END], stop=["END"], min_tokens=1) == (["END", ""], lw.FinishReason.STOP_STRING, 0)


def test_only_length_ends_a_request_at_its_minimum() -> None:
    for stop in ([], ["b"], ["\ufffd"]):
        assert run([A, EURO_1], stop=stop, min_tokens=2, max_tokens=2)[1] == lw.FinishReason.LENGTH
    assert run([A, B], stop=["b"], min_tokens=2, max_tokens=2) == (["a", "b"], lw.FinishReason.LENGTH, -1)


def drawn(rows: Sequence[np.ndarray], vocab: lw.Vocab = VOCAB, **options: Any) -> list[int]:
    batch, line = lw.Batch(vocab), reference.Line(vocab, GREEDY, **options)
    slot = batch.add(GREEDY, **options)
    tokens = []
    for row in rows:
        tokens.append(int(batch.step(row[None], [slot]).tokens[0]))
        assert tokens[-1] == line.step(row).token
    return tokens


def test_ids_that_would_end_it_are_not_drawn_within_the_minimum() -> None:
    # The likeliest first: what ends it, then a.
    row = np.zeros(len(TOKENS), np.float32)
    row[[EOS, OTHER, PAD, A]] = 9, 8, 7, 6
    ends: dict[str, Any] = {"stop_token_ids": [OTHER], "stop": ["<pad>"]}
    assert drawn([row] * 3, min_tokens=2, **ends) == [A, A, EOS]
    assert drawn([row] * 3, min_tokens=2, ignore_eos=True, **ends) == [EOS, EOS, EOS]
    assert drawn([row] * 3, min_tokens=2, stop=["<pad>"], stop_token_ids=[EOS], ignore_eos=True) == [OTHER, OTHER, EOS]
    assert drawn([row] * 3, min_tokens=2, stop=["<pad>"]) == [OTHER, OTHER, EOS]
    assert drawn([row], **ends) == [EOS]
    # As text it ends nothing within the minimum.
    row[[EOS, OTHER]] = 0
    assert drawn([row] * 2, min_tokens=2, skip_special_tokens=False, **ends) == [PAD, PAD]
    assert drawn([row] * 2, min_tokens=2, **ends) == [A, A]


def test_the_minimum_leaves_what_is_reported_of_the_row_as_it_is() -> None:
    row = np.zeros(len(TOKENS), np.float32)
    row[[EOS, A]] = 9, 6
    batch = lw.Batch(VOCAB)
    params = lw.SamplingParams(temperature=0, logprobs=3)
    out = batch.step(np.stack([row, row]), [batch.add(params, min_tokens=1), batch.add(params)])
    assert out.tokens.tolist() == [A, EOS]
    assert out.ranks.tolist() == [2, 1]
    assert out.top_ids[0].tolist() == out.top_ids[1].tolist() == [EOS, A, B]
    assert out.top_logprobs[0].tolist() == out.top_logprobs[1].tolist()


def test_a_row_with_nothing_but_ends_within_the_minimum() -> None:
    batch = lw.Batch(VOCAB)
    row = np.full((1, len(TOKENS)), -np.inf, np.float32)
    row[0, EOS] = 0
    out = batch.step(row, [batch.add(GREEDY, min_tokens=1)])
    assert (out.status[0], out.finish[0]) == (lw.RowStatus.EMPTY, lw.FinishReason.ERROR)
    ids, lse = np.array([[EOS, B, -1]], np.int32), np.zeros(1, np.float32)
    logits = np.array([[9, 1, 0]], np.float32)
    assert batch.step_candidates(ids, logits, lse, [batch.add(GREEDY, min_tokens=1)]).tokens.tolist() == [B]
    assert batch.step_candidates(ids, logits, lse, [batch.add(GREEDY)]).tokens.tolist() == [EOS]


# -- a matcher in place of the strings ---------------------------------------------------------------------------------


def test_a_matcher_in_place_of_stop_strings() -> None:
    for tie, stop_index, text in (("longest", 1, ""), ("list", 0, "E")):
        assert run([E, ND], stop=["ND", "END"], stop_tie=tie) == (["", text], lw.FinishReason.STOP_STRING, stop_index)
    assert run([E, ND], stop=["END"], stop_tie="list", include_stop=True)[0] == ["E", "ND"]
    matcher = lw.StopMatcher(["END"])
    matcher.feed("EN")
    batch = lw.Batch(VOCAB)
    slots = [batch.add(GREEDY, stop=matcher) for _ in range(2)]
    assert batch.step(np.stack([forced(END), forced(ND)]), slots).text == b"ND"
    assert matcher.feed("D") == ("", "END")
    with pytest.raises(lw.ParameterError, match="include_stop"):
        batch.add(GREEDY, stop=matcher, include_stop=True)


def test_the_same_stop_twice_reports_the_first() -> None:
    assert run([B], stop=["x", "b", "b"]) == ([""], lw.FinishReason.STOP_STRING, 1)


def test_the_prompt_is_not_searched() -> None:
    batch = lw.Batch(VOCAB)
    slot = batch.add(GREEDY, [E], stop=["END"])
    out = batch.step(forced(ND)[None], [slot])
    assert (out.text, out.finish[0]) == (b"ND", lw.FinishReason.RUNNING)


# -- rows that give no token -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [np.full(13, np.nan, np.float32), np.full(13, -np.inf, np.float32)])
def test_a_row_without_a_token_ends_its_request(row: np.ndarray) -> None:
    batch = lw.Batch(VOCAB)
    framer = lw.sse.Framer("chat", id="i", model="m", created=0)
    slot, other = batch.add(GREEDY, framer=framer), batch.add(GREEDY)
    out = batch.step(np.stack([row, forced(A)]), [slot, other])
    assert out.finish.tolist() == [lw.FinishReason.ERROR, lw.FinishReason.RUNNING]
    assert out.tokens.tolist() == [-1, A]
    assert (out.text, out.frames) == (b"a", b"")
    with pytest.raises(lw.SlotError):
        batch.step(forced(A)[None], [slot])
    assert batch.step(forced(B)[None], [other]).text == b"b"


def test_an_infinite_logit_is_a_token_like_any_other() -> None:
    batch = lw.Batch(VOCAB)
    slot = batch.add(GREEDY)
    out = batch.step(np.where(np.arange(13) == B, np.float32(np.inf), 0).astype(np.float32)[None], [slot])
    assert (out.status[0], out.text, out.finish[0]) == (lw.RowStatus.INF, b"b", lw.FinishReason.RUNNING)


def test_ids_that_stand_for_nothing_are_never_drawn() -> None:
    batch = lw.Batch(VOCAB)
    slot = batch.add(GREEDY)
    wide = np.zeros((1, 20), np.float32)
    wide[0, [HOLE, 13, 19]] = 50
    wide[0, B] = 1
    assert batch.step(wide, [slot]).tokens.tolist() == [B]


# -- frames ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_frames_are_those_of_the_framer(kind: Any) -> None:
    framer = lw.sse.Framer(kind, id="id", model="m", created=3, index=1, include_usage=True)
    assert run([A, E, ND], stop=["END"], framer=framer)[1] == lw.FinishReason.STOP_STRING
    assert run([A, EURO_1, EURO_2, EOS], framer=framer)[1] == lw.FinishReason.EOS
    assert run([A, E], stop=["END"], max_tokens=2, framer=framer)[1] == lw.FinishReason.LENGTH


def choices(frames: bytes) -> list[dict[str, Any]]:
    return [json.loads(event.data)["choices"][0] for event in reference_sse.parse(frames).events]


def test_frames_carry_the_log_probabilities_asked_for() -> None:
    batch = lw.Batch(VOCAB)
    framer = lw.sse.Framer("chat", id="id", model="m", created=3)
    slot = batch.add(lw.SamplingParams(temperature=0, logprobs=2), framer=framer, max_tokens=3)
    seen = []
    for token_id in (A, EURO_1, EURO_2):
        out = batch.step(forced(token_id)[None], [slot])
        first = choices(out.frames)[0]
        (entry,) = first["logprobs"]["content"]
        seen.append((first["delta"]["content"], entry["token"], bytes(entry["bytes"])))
        assert entry["logprob"] == pytest.approx(out.logprobs[0], abs=1e-6)
        assert [bytes(top["bytes"]) for top in entry["top_logprobs"]] == [TOKENS[i] for i in out.top_ids[0]]
        assert [top["logprob"] for top in entry["top_logprobs"]] == pytest.approx(
            out.top_logprobs[0].tolist(), abs=1e-6
        )
    assert seen == [("a", "a", b"a"), ("", "\ufffd", b"\xe2\x82"), ("\u20ac", "\ufffd", b"\xac")]
    assert choices(out.frames)[-1]["finish_reason"] == "length"


def test_completion_log_probabilities_say_where_in_the_text() -> None:
    batch = lw.Batch(VOCAB)
    framer = lw.sse.Framer("completion", id="id", model="m", created=3)
    slot = batch.add(lw.SamplingParams(temperature=0, logprobs=1), framer=framer)
    seen = []
    for token_id in (A, EURO_1, EURO_2, B):
        (choice,) = choices(batch.step(forced(token_id)[None], [slot]).frames)
        seen += zip(choice["logprobs"]["tokens"], choice["logprobs"]["text_offset"], strict=True)
    assert seen == [("a", 0), (r"bytes:\xe2\x82", 1), (r"bytes:\xac", 1), ("b", 2)]


def test_the_token_that_ends_a_request_has_no_log_probability_in_its_frames() -> None:
    batch = lw.Batch(VOCAB)
    framer = lw.sse.Framer("chat", id="id", model="m", created=3)
    slot = batch.add(lw.SamplingParams(temperature=0, logprobs=1), framer=framer)
    out = batch.step(forced(VOCAB.eos_ids[0])[None], [slot])
    (choice,) = choices(out.frames)
    assert (choice["delta"], choice["logprobs"], choice["finish_reason"]) == ({}, None, "stop")


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_tokens", [0, -1, -(2**40)])
def test_max_tokens_out_of_range(max_tokens: int) -> None:
    batch = lw.Batch(VOCAB)
    with pytest.raises(lw.ParameterError, match="max_tokens") as caught:
        batch.add(GREEDY, max_tokens=max_tokens)
    assert caught.value.field == "max_tokens"
    assert len(batch) == 0


@pytest.mark.parametrize(("min_tokens", "max_tokens"), [(-1, None), (-(2**40), 5), (6, 5), (2**40, 1)])
def test_min_tokens_out_of_range(min_tokens: int, max_tokens: int | None) -> None:
    batch = lw.Batch(VOCAB)
    with pytest.raises(lw.ParameterError, match="min_tokens") as caught:
        batch.add(GREEDY, min_tokens=min_tokens, max_tokens=max_tokens)
    assert caught.value.field == "min_tokens"
    assert len(batch) == 0
    batch.add(GREEDY, min_tokens=2**40)
    batch.add(GREEDY, min_tokens=5, max_tokens=5)


@pytest.mark.parametrize("token_id", [-1, 13, HOLE, 2**31, 2**40])
def test_ids_outside(token_id: int) -> None:
    batch = lw.Batch(VOCAB)
    with pytest.raises(lw.TokenIdError) as caught:
        batch.add(GREEDY, [A, token_id])
    assert caught.value.token_id == token_id
    with pytest.raises(lw.TokenIdError):
        batch.add(GREEDY, stop_token_ids=[token_id])
    assert len(batch) == 0


def test_stops_out_of_range() -> None:
    batch = lw.Batch(VOCAB)
    with pytest.raises(lw.ParameterError):
        batch.add(GREEDY, stop=[""])
    with pytest.raises(lw.LimitError):
        batch.add(GREEDY, stop=["x"] * 17)
    with pytest.raises(lw.LimitError):
        batch.add(GREEDY, stop=["x" * 1025])
    with pytest.raises(lw.LimitError):
        batch.add(GREEDY, stop_token_ids=[A] * (lw.limits()["stop_token_ids"] + 1))
    with pytest.raises(TypeError):
        batch.add(GREEDY, stop="END")
    with pytest.raises(UnicodeEncodeError):
        batch.add(GREEDY, stop=["\ud800"])
    assert len(batch) == 0

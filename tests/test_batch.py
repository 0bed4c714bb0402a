"""Batch.step against the stations called one by one, bit for bit, for many requests that come and go."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import line as reference
from reference import mask as reference_mask

import logitwire as lw

PIECES = ["a", "b", "ab", " ", "\n", "é", "END", "EN", "D", "你好"]
TOKENS: list[bytes | None] = [p.encode() for p in PIECES]
TOKENS += [b"\xe4\xbd", b"\xa0", b"\xf0\x9f", b"\x98\x80", b"\xff", b"", None, b"<s>", b"</s>", b"<pad>", None, b"x"]
V = len(TOKENS)
EOS = TOKENS.index(b"</s>")
VOCAB = lw.Vocab.from_bytes(TOKENS, special_ids=[17, 18, 19], eos_ids=[EOS])


def random_request(rng: random.Random, number: int) -> tuple[lw.SamplingParams, dict[str, Any]]:
    params = lw.SamplingParams(
        temperature=rng.choice([0.0, 0.7, 1.0, 1.5]),
        top_k=rng.choice([0, 0, 3, 8]),
        top_p=rng.choice([1.0, 0.9, 0.5]),
        seed=rng.getrandbits(64),
        choice=rng.randrange(3),
        logprobs=rng.choice([None, None, 0, 3]),
    )
    max_tokens = rng.choice([None, 1, 2, 5, 12])
    options = {
        "max_tokens": max_tokens,
        "min_tokens": min(rng.choice([0, 0, 1, 2, 4]), max_tokens or 4),
        "stop": rng.sample(
            ["END", "\n", "ab", "aba", "你", "\ufffd", "b ", "<s>", "</s>", "<pad>", "é"], rng.choice([0, 1, 3])
        ),
        "include_stop": rng.random() < 0.3,
        "stop_token_ids": rng.sample([0, 5, 21], rng.choice([0, 0, 1])),
        "ignore_eos": rng.random() < 0.3,
        "skip_special_tokens": rng.random() < 0.7,
        "framer": None,
    }
    if params.logprobs is None:  # frames with log-probabilities are the batch's own; test_line looks into them
        kind = rng.choice(["chat", "completion", None])
        options["framer"] = kind and lw.sse.Framer(kind, id=f"id-{number}", model="m", created=number, index=number % 3)
    return params, options


def row_of(out: lw.StepOutput, i: int) -> reference.Step:
    top = zip(out.top_ids[i], out.top_logprobs[i], strict=True)
    return reference.Step(
        int(out.tokens[i]),
        int(out.status[i]),
        float(out.logprobs[i]),
        int(out.ranks[i]),
        [(int(t), float(x)) for t, x in top if t >= 0],
        int(out.finish[i]),
        int(out.stop_index[i]),
        out.text[out.text_offsets[i] : out.text_offsets[i + 1]],
        out.frames[out.frame_offsets[i] : out.frame_offsets[i + 1]],
    )


def bits(step: reference.Step) -> tuple[object, ...]:
    """A step whose NaN equals itself."""
    return tuple("nan" if x != x else x for x in step)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("width", [V, V + 10])
def test_a_batch_equals_its_stations(width: int, seed: int) -> None:
    """Requests come, rest, end and go; masks, bad rows and padded logits come and go with them."""
    rng = random.Random(seed)
    logits_rng = np.random.default_rng([seed, width])
    batch = lw.Batch(VOCAB, vocab_size=rng.choice([None, width]))
    lines: dict[int, reference.Line] = {}
    finishes: list[int] = []
    number = 0
    for step in range(120):
        while len(lines) < 8 and rng.random() < 0.7:
            params, options = random_request(rng, number)
            slot = batch.add(params, [0, 1] * rng.randrange(2), **options)
            assert slot not in lines
            lines[slot] = reference.Line(VOCAB, params, vocab_size=width, **options)
            number += 1
        slots = rng.sample(sorted(lines), rng.randint(0, len(lines)))
        rows = (2 * logits_rng.standard_normal((len(slots), width))).astype(np.float32)
        rows[:, EOS] -= 1
        if len(slots) > 2 and step % 17 == 0:
            rows[0, 3], rows[1, :] = np.nan, -np.inf
        mask = None
        if rng.random() < 0.4:
            allowed = logits_rng.random((len(slots), width)) < 0.6
            allowed[:, 0] = True
            mask = (
                np.stack([reference_mask.pack(a) for a in allowed])
                if slots
                else np.zeros((0, -(-width // 32)), np.int32)
            )
        out = batch.step(rows, slots, mask=mask)
        assert len(batch) == len(lines)
        for i, slot in enumerate(slots):
            want = lines[slot].step(rows[i], None if mask is None else mask[i])
            assert bits(row_of(out, i)) == bits(want), (step, i)
            if want.finish != reference.RUNNING:
                finishes.append(want.finish)
                batch.remove(slot)
                del lines[slot]
    assert set(finishes) == {
        reference.EOS,
        reference.STOP_TOKEN,
        reference.STOP_STRING,
        reference.LENGTH,
        reference.ERROR,
    }


def test_columns_have_the_types_and_shapes_documented() -> None:
    batch = lw.Batch(VOCAB)
    slots = [batch.add(lw.SamplingParams(seed=i, logprobs=n)) for i, n in enumerate((None, 2, 1))]
    out = batch.step(np.zeros((3, V), np.float32), slots)
    shapes = {
        "tokens": (np.int32, (3,)),
        "status": (np.uint8, (3,)),
        "logprobs": (np.float32, (3,)),
        "ranks": (np.int32, (3,)),
        "top_ids": (np.int32, (3, 2)),
        "top_logprobs": (np.float32, (3, 2)),
        "finish": (np.uint8, (3,)),
        "stop_index": (np.int32, (3,)),
        "text_offsets": (np.int64, (4,)),
        "frame_offsets": (np.int64, (4,)),
    }
    assert {name: (getattr(out, name).dtype.type, getattr(out, name).shape) for name in shapes} == shapes
    assert isinstance(out.text, bytes)
    assert (out.frames, out.frame_offsets.tolist()) == (b"", [0, 0, 0, 0])


def test_an_empty_step() -> None:
    batch = lw.Batch(VOCAB)
    batch.add(lw.SamplingParams())
    out = batch.step(np.zeros((0, V), np.float32), [])
    assert (out.tokens.shape, out.text, out.text_offsets.tolist()) == ((0,), b"", [0])


def test_slot_errors_change_nothing() -> None:
    batch = lw.Batch(VOCAB)
    a, b = (batch.add(lw.SamplingParams(seed=i)) for i in range(2))
    rows = np.random.default_rng(0).standard_normal((2, V)).astype(np.float32)
    for slots in ([a, a], [a, 99], [a, -1], [a, 2**33]):
        with pytest.raises(lw.SlotError) as caught:
            batch.step(rows, slots)
        assert caught.value.slot == slots[1]
    with pytest.raises(lw.ArrayError):
        batch.step(rows, [a])
    with pytest.raises(lw.ArrayError):
        batch.step(rows.astype(np.float64), [a, b])
    lines = [reference.Line(VOCAB, lw.SamplingParams(seed=i)) for i in range(2)]
    out = batch.step(rows, [a, b])
    assert [bits(row_of(out, i)) for i in range(2)] == [bits(line.step(rows[i])) for i, line in enumerate(lines)]


def test_a_finished_slot_must_be_removed() -> None:
    batch = lw.Batch(VOCAB)
    a = batch.add(lw.SamplingParams(temperature=0), max_tokens=1)
    b = batch.add(lw.SamplingParams(temperature=0))
    rows = np.zeros((2, V), np.float32)
    assert batch.step(rows, [b, a]).finish.tolist() == [lw.FinishReason.RUNNING, lw.FinishReason.LENGTH]
    with pytest.raises(lw.SlotError, match="finished"):
        batch.step(rows, [b, a])
    assert len(batch) == 2
    batch.remove(a)
    assert len(batch) == 1
    with pytest.raises(lw.SlotError):
        batch.remove(a)
    c = batch.add(lw.SamplingParams(temperature=0))
    assert c != b
    assert batch.step(rows, [c, b]).finish.tolist() == [0, 0]


def test_a_slot_used_again_starts_anew() -> None:
    """Nothing of the request before is left: neither half a character nor held text nor the count of tokens."""
    batch = lw.Batch(VOCAB)
    a = batch.add(lw.SamplingParams(temperature=0), stop=["ab"], max_tokens=3)

    def forced(token: int) -> np.ndarray:
        return np.where(np.arange(V) == token, np.float32(9), np.float32(0))[None]

    assert batch.step(forced(0), [a]).text == b""
    assert batch.step(forced(10), [a]).text == b""
    batch.remove(a)
    again = batch.add(lw.SamplingParams(temperature=0), max_tokens=3)
    out = [batch.step(forced(t), [again]) for t in (11, 1, 1)]
    assert [o.text for o in out] == ["\ufffd".encode(), b"b", b"b"]
    assert [int(o.finish[0]) for o in out] == [0, 0, lw.FinishReason.LENGTH]


@pytest.mark.parametrize("width", [V - 1, 1, 0])
def test_logits_narrower_than_the_vocabulary(width: int) -> None:
    batch = lw.Batch(VOCAB)
    slot = batch.add(lw.SamplingParams())
    with pytest.raises(lw.ArrayError):
        batch.step(np.zeros((1, width), np.float32), [slot])
    with pytest.raises((lw.VocabError, lw.ParameterError)):
        lw.Batch(VOCAB, vocab_size=width)


@pytest.mark.parametrize("width", [V, V + 9, V + 11])
def test_logits_of_another_width_than_the_model_s(width: int) -> None:
    batch = lw.Batch(VOCAB, vocab_size=V + 10)
    slot = batch.add(lw.SamplingParams())
    with pytest.raises(lw.ArrayError):
        batch.step(np.zeros((1, width), np.float32), [slot])


def test_padded_ids_are_never_drawn() -> None:
    batch = lw.Batch(VOCAB, vocab_size=V + 50)
    slots = [batch.add(lw.SamplingParams(seed=i)) for i in range(200)]
    rows = np.zeros((200, V + 50), np.float32)
    rows[:, V:] = 40
    tokens = set(batch.step(rows, slots).tokens.tolist())
    assert len(tokens) > 10
    assert all(t < V and TOKENS[t] is not None for t in tokens)


def test_an_unknown_order() -> None:
    with pytest.raises(lw.ParameterError, match="order"):
        lw.Batch(VOCAB, order="beam")


def test_candidates_go_down_the_same_line() -> None:
    """The k largest of a row and its log-sum-exp, against the row itself."""
    rng = random.Random(4)
    logits_rng = np.random.default_rng(4)
    k = 9
    real = np.array([t is not None for t in TOKENS])
    for number in range(25):
        params, options = random_request(rng, number)
        if params.temperature:
            params = lw.SamplingParams(temperature=params.temperature, top_k=rng.randint(1, k), seed=number)
            options["framer"] = lw.sse.Framer("chat", id="i", model="m", created=1)
        else:
            params = lw.SamplingParams(temperature=0)
        dense, reduced = lw.Batch(VOCAB), lw.Batch(VOCAB)
        slots = dense.add(params, **options), reduced.add(params, **options)
        for _ in range(12):
            row = np.where(real, logits_rng.standard_normal(V), -np.inf).astype(np.float32)
            ids = np.argsort(-row, kind="stable")[:k].astype(np.int32)
            shuffled = logits_rng.permutation(ids)
            lse = np.array([np.log(np.exp(row.astype(np.float64)).sum())], np.float32)
            want = dense.step(row[None], [slots[0]])
            got = reduced.step_candidates(shuffled[None], row[shuffled][None], lse, [slots[1]])
            assert bits(row_of(got, 0)) == bits(row_of(want, 0))
            if want.finish[0]:
                break


def test_candidates_report_the_full_row_s_log_probabilities() -> None:
    row = np.random.default_rng(3).standard_normal(V).astype(np.float32)
    ids = np.argsort(-row, kind="stable")[:6].astype(np.int32)
    lse = np.array([np.log(np.exp(row.astype(np.float64)).sum())], np.float32)
    params = lw.SamplingParams(temperature=0, logprobs=3)
    dense, reduced = lw.Batch(VOCAB), lw.Batch(VOCAB)
    want = dense.step(row[None], [dense.add(params)])
    got = reduced.step_candidates(ids[None], row[ids][None], lse, [reduced.add(params)])
    assert got.top_ids.tolist() == want.top_ids.tolist()
    assert np.allclose(got.top_logprobs, want.top_logprobs, atol=1e-5)


@given(st.data())
def test_the_order_of_rows_is_the_order_of_slots(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 6))
    order = data.draw(st.permutations(range(n)))
    rows = np.random.default_rng(n).standard_normal((n, V)).astype(np.float32)
    batch, lines = lw.Batch(VOCAB), [reference.Line(VOCAB, lw.SamplingParams(seed=i)) for i in range(n)]
    slots = [batch.add(lw.SamplingParams(seed=i)) for i in range(n)]
    out = batch.step(rows, [slots[i] for i in order])
    for position, i in enumerate(order):
        assert bits(row_of(out, position)) == bits(lines[i].step(rows[position]))

"""The event-stream parser and the framer: the standard's vectors under every chunking, and the way there and back."""

from __future__ import annotations

import json
import random
import tracemalloc
from typing import Any

import pytest
from conftest import vectors
from hypothesis import given
from hypothesis import strategies as st
from reference import sse as reference

import logitwire as lw

CASES = [pytest.param(case, id=case["name"]) for case in vectors("sse")]


def stream_of(case: dict[str, Any]) -> bytes:
    """`input` has one character a byte."""
    return case["input"].encode("latin-1")


def feed(parser: Any, chunks: list[bytes]) -> reference.Stream:
    events = [reference.Event(e.type, e.data, e.id) for chunk in chunks for e in parser.feed(chunk)]
    return reference.Stream(events, parser.last_event_id, parser.retry_ms)


def cut(data: bytes, rng: random.Random) -> list[bytes]:
    """Chunks of any size, empty ones among them."""
    at = sorted(rng.randint(0, len(data)) for _ in range(rng.randint(0, 12)))
    return [data[i:j] for i, j in zip([0, *at], [*at, len(data)], strict=True)]


def expected(case: dict[str, Any]) -> reference.Stream:
    events = [reference.Event(**event) for event in case["events"]]
    return reference.Stream(events, case["last_event_id"], case["retry"])


@pytest.mark.parametrize("case", CASES)
def test_reference_gives_the_vectors(case: dict) -> None:
    assert reference.parse(stream_of(case)) == expected(case)


@pytest.mark.parametrize("case", CASES)
def test_vectors_at_once_and_byte_by_byte(case: dict) -> None:
    data = stream_of(case)
    assert feed(lw.sse.Parser(), [data]) == expected(case)
    assert feed(lw.sse.Parser(), [data[i : i + 1] for i in range(len(data))]) == expected(case)


@pytest.mark.parametrize("case", CASES)
def test_vectors_under_every_split(case: dict) -> None:
    data = stream_of(case)
    if len(data) > 300:
        cuts = [(i, j) for i in (0, 1, 2, 3, len(data) // 2) for j in (len(data) - 2, len(data) - 1, len(data))]
    else:
        step = 1 if len(data) <= 60 else 3
        cuts = [(i, j) for i in range(0, len(data) + 1, step) for j in range(i, len(data) + 1, step)]
    for i, j in cuts:
        assert feed(lw.sse.Parser(), [data[:i], data[i:j], data[j:]]) == expected(case), (i, j)


@pytest.mark.parametrize("case", CASES)
def test_vectors_under_random_chunkings_with_empty_chunks(case: dict) -> None:
    data, rng = stream_of(case), random.Random(case["name"])
    for _ in range(20):
        chunks = cut(data, rng)
        assert feed(lw.sse.Parser(), chunks) == expected(case), chunks


# Pieces that meet at every corner of the grammar.
PIECES = [
    b"data",
    b":",
    b" ",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"id",
    b"event",
    b"retry",
    b"x",
    b"7",
    b"\0",
    b"\xef\xbb\xbf",
]
PIECES += [
    "é\u2028\x85".encode(),
    b"\xe2\x82",
    b"\xff",
    b"\xed\xa0\x80",
    b"data: hello\n\n",
    b"id: 1\n",
    b": comment\n",
]


@given(st.lists(st.sampled_from(PIECES), max_size=25), st.randoms(use_true_random=False))
def test_any_stream_cut_anywhere(pieces: list[bytes], rng: random.Random) -> None:
    data = b"".join(pieces)
    want = reference.parse(data)
    assert feed(lw.sse.Parser(), cut(data, rng)) == want
    assert feed(lw.sse.Parser(), [data]) == want


def test_thousands_of_small_streams() -> None:
    rng = random.Random(9)
    for _ in range(4000):
        chunks = [b"".join(rng.choices(PIECES, k=rng.randint(0, 4))) for _ in range(rng.randint(1, 6))]
        assert feed(lw.sse.Parser(), chunks) == reference.parse(b"".join(chunks)), chunks


def test_events_come_as_soon_as_they_are_complete() -> None:
    parser = lw.sse.Parser()
    assert parser.feed(b"data: a\n") == []
    assert [e.data for e in parser.feed(b"\n")] == ["a"]
    assert parser.feed(b"data: b\r") == []
    # A lone CR ends the line now; it does not wait to see whether LF follows.
    assert [e.data for e in parser.feed(b"\r")] == ["b"]
    assert parser.feed(b"\n") == []


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer(kind: type) -> None:
    assert [e.data for e in lw.sse.Parser().feed(kind(b"data: x\n\n"))] == ["x"]


def test_any_buffer_but_text() -> None:
    for wrong in ("data: x\n\n", None, 5, [1, 2]):
        with pytest.raises(TypeError):
            lw.sse.Parser().feed(wrong)


def test_two_parsers_share_nothing() -> None:
    first, second = lw.sse.Parser(), lw.sse.Parser()
    first.feed(b"data: \xe2\x82")
    assert [e.data for e in second.feed(b"data: \xac\n\n")] == ["\ufffd"]
    assert [e.data for e in first.feed(b"\xac\n\n")] == ["€"]


def test_reset_is_a_new_connection_that_remembers_its_id() -> None:
    parser = lw.sse.Parser()
    parser.feed(b"id: 4\nretry: 9\n\nevent: x\ndata: lost")
    parser.reset()
    assert (parser.last_event_id, parser.retry_ms) == ("4", 9)
    events = parser.feed(b"\xef\xbb\xbfdata: y\n\n")
    assert [(e.type, e.data, e.id) for e in events] == [("message", "y", "4")]


def test_limits_poison_until_reset() -> None:
    parser = lw.sse.Parser(max_line=50, max_event=100)
    assert [len(e.data) for e in parser.feed(b"data:" + b"x" * 45 + b"\n\n")] == [45]
    with pytest.raises(lw.LimitError) as caught:
        parser.feed(b"data:" + b"x" * 46 + b"\n\n")
    assert caught.value.maximum == 50
    with pytest.raises(lw.LimitError):
        parser.feed(b"data: fine\n\n")
    parser.reset()
    assert [e.data for e in parser.feed(b"data: fine\n\n")] == ["fine"]


@pytest.mark.parametrize("n_chunks", [1, 7, 1000])
def test_the_line_limit_holds_however_it_is_cut(n_chunks: int) -> None:
    data = b"data:" + b"x" * 995
    size = -(-len(data) // n_chunks)
    parser = lw.sse.Parser(max_line=1000)
    for i in range(0, len(data), size):
        parser.feed(data[i : i + size])
    with pytest.raises(lw.LimitError):
        parser.feed(b"x")


def test_the_event_limit_counts_all_its_lines() -> None:
    parser = lw.sse.Parser(max_event=100)
    parser.feed(b"data: 123456789\n" * 10)
    with pytest.raises(lw.LimitError):
        parser.feed(b"data: 123456789\ndata: 1\n")
    parser.reset()
    for _ in range(100):  # the limit is on one event, not on the stream
        parser.feed(b"data: 123456789\n\n")


def test_comments_and_unknown_fields_are_not_stored() -> None:
    parser = lw.sse.Parser(max_line=1 << 20, max_event=100)
    tracemalloc.start()
    for _ in range(200):
        parser.feed(b": " + b"x" * 4000 + b"\nunknown: " + b"y" * 4000 + b"\n")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    assert [e.data for e in parser.feed(b"data: ok\n\n")] == ["ok"]


def test_a_million_bytes_one_at_a_time_and_many_lines() -> None:
    """The peers' quadratic cases, at a size where they take minutes."""
    parser = lw.sse.Parser()
    data = b"data:" + b"x" * 300_000 + b"\n\n"
    events = [e for i in range(0, len(data), 3) for e in parser.feed(data[i : i + 3])]
    assert [len(e.data) for e in events] == [300_000]
    (event,) = parser.feed(b"data: x\n" * 100_000 + b"\n")
    assert event.data.count("\n") == 99_999


@pytest.mark.parametrize("value", [b"9" * 25, b"18446744073709551615", b"18446744073709551616", b"0" * 300 + b"7"])
def test_a_huge_retry_is_a_number_or_ignored_but_no_error(value: bytes) -> None:
    parser = lw.sse.Parser()
    parser.feed(b"retry: 5\n\nretry: " + value + b"\n\n")
    assert parser.retry_ms is not None
    assert parser.retry_ms in (5, int(value), 2**64 - 1)


# -- frames ------------------------------------------------------------------------------------------------------------

one_line = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8)


@given(
    st.text(max_size=30)
    | st.lists(st.sampled_from(["\r", "\n", "\r\n", "a", ": ", " ", "data:"]), max_size=9).map("".join),
    st.none() | one_line,
    st.none() | one_line,
    st.none() | st.integers(0, 2**63),
)
def test_a_frame_parses_back(data: str, event: str | None, id: str | None, retry_ms: int | None) -> None:
    frame = lw.sse.frame(data, event=event, id=id, retry_ms=retry_ms)
    want = reference.Event(event or "message", data.replace("\r\n", "\n").replace("\r", "\n"), id or "")
    assert reference.parse(frame) == ([want], id or "", retry_ms)
    assert feed(lw.sse.Parser(), [frame]) == ([want], id or "", retry_ms)


def test_frames_as_bytes() -> None:
    assert lw.sse.frame("") == b"data: \n\n"
    assert lw.sse.frame(" x") == b"data:  x\n\n"
    assert lw.sse.frame("a\r\nb\rc\n", event="e") == b"event: e\ndata: a\ndata: b\ndata: c\ndata: \n\n"
    assert lw.sse.DONE == b"data: [DONE]\n\n"


@pytest.mark.parametrize("line_end", ["\r", "\n", "\r\n", "a\nb", "\ndata: forged\n\n"])
def test_no_field_can_forge_another(line_end: str) -> None:
    for field in ("event", "id"):
        with pytest.raises(lw.ParameterError) as caught:
            lw.sse.frame("x", **{field: line_end})
        assert caught.value.field == field
    with pytest.raises(lw.ParameterError):
        lw.sse.comment(line_end)


def test_nul_in_a_name_or_an_id_and_a_negative_retry() -> None:
    for field in ("event", "id"):
        with pytest.raises(lw.ParameterError) as caught:
            lw.sse.frame("x", **{field: "a\0b"})
        assert caught.value.field == field
    for retry_ms in (-1, 2**64):
        with pytest.raises((lw.ParameterError, OverflowError)):
            lw.sse.frame("x", retry_ms=retry_ms)


@given(one_line)
def test_a_comment_is_no_event(text: str) -> None:
    assert reference.parse(b"id:1\n" + lw.sse.comment(text) + b"data: x\n\n").events[-1].data == "x"
    assert len(reference.parse(b"data: y\n\n" + lw.sse.comment(text)).events) == 1


def test_events_are_values() -> None:
    event = lw.sse.Event("d", type="t", id="i")
    assert (event.data, event.type, event.id) == ("d", "t", "i")
    assert event == lw.sse.Event("d", type="t", id="i")
    assert event != lw.sse.Event("d", type="t", id="j")
    assert lw.sse.Event("d").type == "message"
    with pytest.raises(AttributeError):
        event.data = "x"


# -- OpenAI's frames ---------------------------------------------------------------------------------------------------

HOSTILE = [
    "",
    "a",
    " the",
    "\n",
    "\r\n",
    '"\\/',
    "\x00\x01\x1f\x7f",
    "\u2028\u2029\x85\x0b\x0c\x1c",
    "é你😀👨‍👩‍👧",
    "x" * 5000,
]
HOSTILE += [
    "data: x\n\n",
    "</script>",
    "\ufeff",
    "\ufffd",
    "\\u0041",
    '"}],"usage":{',
    "\u0084\u0086\u2027\u202a",
    "x" * 15 + '"',
]


def payloads(frames: bytes) -> list[dict[str, Any]]:
    """The JSON of each frame; each is one event of one line that no splitter of lines can break."""
    stream = reference.parse(frames)
    assert frames.decode().splitlines() == [line for e in stream.events for line in (f"data: {e.data}", "")]
    assert frames.endswith(b"\n\n") or not frames
    return [json.loads(event.data) for event in stream.events]


def chunk(kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    shape = {"chat": "chat.completion.chunk", "completion": "text_completion"}[kind]
    return {"id": "id-1", "object": shape, "created": 17, "model": "m", "choices": choices, **more}


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_frames_of_a_request(kind: str, include_usage: bool) -> None:
    framer = lw.sse.Framer(kind, id="id-1", model="m", created=17, index=2, include_usage=include_usage)
    null_usage = {"usage": None} if include_usage else {}

    def choice(finish_reason: str | None, **content: Any) -> dict[str, Any]:
        return chunk(kind, [{"index": 2, **content, "logprobs": None, "finish_reason": finish_reason}], **null_usage)

    if kind == "chat":
        assert payloads(framer.start()) == [choice(None, delta={"role": "assistant", "content": ""})]
    else:
        assert framer.start() == b""
    assert framer.text("") == b""
    for text in HOSTILE[1:]:
        content = {"delta": {"content": text}} if kind == "chat" else {"text": text}
        assert payloads(framer.text(text)) == [choice(None, **content)]
    for reason in ("stop", "length"):
        content = {"delta": {}} if kind == "chat" else {"text": ""}
        assert payloads(framer.finish(reason)) == [choice(reason, **content)]
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    assert payloads(framer.usage(5, 7)) == ([chunk(kind, [], usage=usage)] if include_usage else [])


@given(st.text(max_size=60))
def test_any_text_survives_its_frame(text: str) -> None:
    frame = lw.sse.Framer("chat", id="", model="", created=0).text(text)
    assert [p["choices"][0]["delta"]["content"] for p in payloads(frame)] == ([text] if text else [])


@pytest.mark.parametrize("text", HOSTILE)
def test_id_and_model_are_escaped(text: str) -> None:
    (payload,) = payloads(lw.sse.Framer("completion", id=text, model=text, created=2**53).text("x"))
    assert (payload["id"], payload["model"], payload["created"]) == (text, text, 2**53)


def test_framers_refuse_what_they_do_not_know() -> None:
    options = {"id": "a", "model": "b", "created": 1}
    for kind in ("Chat", "", "responses"):
        with pytest.raises(lw.ParameterError):
            lw.sse.Framer(kind, **options)
    with pytest.raises((lw.ParameterError, OverflowError)):
        lw.sse.Framer("chat", **{**options, "created": -1})
    for reason in ("", "eos", None):
        with pytest.raises((lw.ParameterError, TypeError)):
            lw.sse.Framer("chat", **options).finish(reason)

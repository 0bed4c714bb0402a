"""Frames of every kind: their JSON, and what three parsers read back, one of which is not ours."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import sse as reference
from test_sse import HOSTILE, payloads

import logitwire as lw

CHAT = lw.sse.Framer("chat", id="id-1", model="m", created=17, index=2)
COMPLETION = lw.sse.Framer("completion", id="id-1", model="m", created=17, index=2)
texts = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(HOSTILE)


def choice(**content: Any) -> dict[str, Any]:
    return {"index": 2, **content, "logprobs": None, "finish_reason": None}


def chunk(choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "id-1", "object": "chat.completion.chunk", "created": 17, "model": "m", "choices": choices}


@given(st.lists(texts, max_size=8))
def test_many_frames_are_the_single_ones_joined(pieces: list[str]) -> None:
    template = lw.sse.Template('{"a":[', "]}")
    for framer in (CHAT, COMPLETION, template):
        assert framer.texts(pieces) == b"".join(map(framer.text, pieces)) == framer.texts(iter(pieces))


@pytest.mark.parametrize("wrong", ["text", [b"bytes"], [None], 5, ["ok", "\ud800"]])
def test_many_frames_of_what_is_no_text(wrong: Any) -> None:
    with pytest.raises((TypeError, UnicodeEncodeError)):
        CHAT.texts(wrong)


def test_tool_calls() -> None:
    for text in HOSTILE:
        frames = CHAT.tool_call(0, id=text, name=text) + CHAT.tool_arguments(0, text)
        began = {"index": 0, "id": text, "type": "function", "function": {"name": text, "arguments": ""}}
        want = [choice(delta={"tool_calls": [began]})]
        if text:
            want.append(choice(delta={"tool_calls": [{"index": 0, "function": {"arguments": text}}]}))
        assert payloads(frames) == [chunk([each]) for each in want]
    assert CHAT.tool_arguments(1, "") == b""
    [end] = payloads(CHAT.finish("tool_calls"))
    assert end["choices"] == [choice(delta={}) | {"finish_reason": "tool_calls"}]
    for call in (lambda: COMPLETION.tool_call(0, id="a", name="b"), lambda: COMPLETION.tool_arguments(0, "a")):
        with pytest.raises(lw.ParameterError):
            call()
    with pytest.raises(lw.ParameterError):
        COMPLETION.finish("tool_calls")


def test_the_arguments_of_a_tool_call_are_what_the_pieces_say() -> None:
    arguments = json.dumps({"city": "Zürich\u2028", "n": [1, 2.5, None], 'q"': "\\"})
    frames = CHAT.tool_call(3, id="call-1", name="weather")
    frames += b"".join(CHAT.tool_arguments(3, piece) for piece in arguments)
    calls = [payload["choices"][0]["delta"]["tool_calls"][0] for payload in payloads(frames)]
    assert {call["index"] for call in calls} == {3}
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == json.loads(arguments)


def test_log_probabilities() -> None:
    tokens = [(b" the", -0.5, [(b" the", -0.5), (b"\xff", -1.25)], 0), (b"\xe2\x82", -math.inf, [], 4)]
    [payload] = payloads(CHAT.text(" the", logprobs=tokens))
    first, second = payload["choices"][0]["logprobs"]["content"]
    top = [{"token": " the", "logprob": -0.5, "bytes": [32, 116, 104, 101]}]
    top.append({"token": "\ufffd", "logprob": -1.25, "bytes": [255]})
    assert first == {**top[0], "top_logprobs": top}
    assert second == {"token": "\ufffd", "logprob": -9999.0, "bytes": [0xE2, 0x82], "top_logprobs": []}
    [payload] = payloads(COMPLETION.text(" the", logprobs=tokens))
    assert payload["choices"][0]["logprobs"] == {
        "tokens": [" the", "bytes:\\xe2\\x82"],
        "token_logprobs": [-0.5, -9999.0],
        "top_logprobs": [{" the": -0.5, "bytes:\\xff": -1.25}, {}],
        "text_offset": [0, 4],
    }
    assert CHAT.text("x", logprobs=[]) == CHAT.text("x")
    assert len(payloads(CHAT.text("", logprobs=tokens))) == 1


def test_tokens_of_text_generation_inference() -> None:
    for text in HOSTILE:
        [payload] = payloads(lw.sse.tgi_token(3, (7, text, -0.25, False)))
        token = {"id": 7, "text": text, "logprob": -0.25, "special": False}
        assert payload == {"index": 3, "token": token, "generated_text": None, "details": None}
    top = [(7, "a", -0.5, False), (2, "</s>", -math.inf, True)]
    [payload] = payloads(lw.sse.tgi_token(9, top[1], top_tokens=top, end=("all\nof it", "eos_token", 9, 2**64 - 1)))
    end = {"id": 2, "text": "</s>", "logprob": None, "special": True}
    assert payload == {
        "index": 9,
        "token": end,
        "top_tokens": [{"id": 7, "text": "a", "logprob": -0.5, "special": False}, end],
        "generated_text": "all\nof it",
        "details": {"finish_reason": "eos_token", "generated_tokens": 9, "seed": 2**64 - 1},
    }
    with pytest.raises(lw.ParameterError):
        lw.sse.tgi_token(1, top[0], end=("", "stop", 1, None))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", HOSTILE)
def test_errors(text: str) -> None:
    [payload] = payloads(lw.sse.error(text))
    assert payload == {"error": {"message": text, "type": "server_error", "param": None, "code": None}}
    [payload] = payloads(lw.sse.error("m", type=text, param=text, code=text))
    assert payload == {"error": {"message": "m", "type": text, "param": text, "code": text}}
    assert payloads(lw.sse.tgi_error(text, text)) == [{"error": text, "error_type": text}]
    assert payloads(lw.sse.tgi_error("m")) == [{"error": "m", "error_type": "generation"}]


@pytest.mark.parametrize("text", HOSTILE)
def test_templates_are_named_events(text: str) -> None:
    before = '{"type":"content_block_delta","delta":{"type":"text_delta","note":"\u2028 \\" é","text":'
    template = lw.sse.Template(before, ',"\x85":null}}', event="content_block_delta")
    frame = template.text(text)
    assert frame.decode().splitlines() == frame.decode().split("\n")[:-1]  # no other line ends in it
    [event] = reference.parse(frame).events
    assert event.type == "content_block_delta"
    delta = {"type": "text_delta", "note": '\u2028 " é', "text": text, "\x85": None}
    assert json.loads(event.data) == {"type": "content_block_delta", "delta": delta}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "}"),
        ('{"a":', ""),
        ('{"a":\n', "}"),
        ('{"a":', "}\r"),
        ('["', '"]'),
        ('["\\', "]"),
        ('{"a', '":1}'),
        ('{"a":', "} 1"),
    ],
)
def test_templates_refuse_what_is_no_json_around_a_string(before: str, after: str) -> None:
    with pytest.raises(lw.ParameterError):
        lw.sse.Template(before, after)


def test_templates_refuse_a_name_that_would_forge_a_line() -> None:
    for name in ("a\nb", "\r", "a\r\ndata: x", "a\0"):
        with pytest.raises(lw.ParameterError) as caught:
            lw.sse.Template("", "", event=name)
        assert caught.value.field == "event"
    assert lw.sse.Template("", "").text("a") == b'data: "a"\n\n'


# -- there and back, by a parser that is not ours ----------------------------------------------------------------------

name = st.none() | st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n\0\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e"),
    min_size=1,
    max_size=8,
)


def every_frame(text: str) -> list[tuple[bytes, Any]]:
    """Frames that carry a text, and how to find it in their JSON."""
    content = ("choices", 0, "delta", "content")
    return [
        (CHAT.text(text), content),
        (COMPLETION.text(text), ("choices", 0, "text")),
        (CHAT.text(text, logprobs=[(text.encode(), -1.0, [], 0)]), content),
        (CHAT.tool_arguments(0, text), ("choices", 0, "delta", "tool_calls", 0, "function", "arguments")),
        (lw.sse.tgi_token(1, (1, text, -1.0, False)), ("token", "text")),
        (lw.sse.error(text), ("error", "message")),
        (lw.sse.tgi_error(text), ("error",)),
        (lw.sse.Template('{"type":"x","delta":', "}", event="x").text(text), ("delta",)),
    ]


@given(texts.filter(bool), name, name)
def test_everything_parses_back_by_a_parser_not_ours(text: str, event: str | None, id: str | None) -> None:
    httpx_sse = pytest.importorskip("httpx_sse")
    import httpx

    frames = every_frame(text)
    plain = lw.sse.frame(json.dumps(text), event=event, id=id, retry_ms=9)
    stream = lw.sse.comment("keep-alive") + b"".join(frame for frame, _ in frames) + plain + lw.sse.DONE
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    theirs = [(e.event, e.data, e.id) for e in httpx_sse.EventSource(response).iter_sse()]
    ours = [(e.type, e.data, e.id) for e in lw.sse.Parser().feed(stream)]
    assert theirs == ours == [tuple(e) for e in reference.parse(stream).events]
    assert ours.pop()[1] == "[DONE]"
    assert ours.pop() == (event or "message", json.dumps(text), id or "")
    for (_, path), (_, data, _) in zip(frames, ours, strict=True):
        found = json.loads(data)
        for step in path:
            found = found[step]
        assert found == text
    assert lw.sse.Parser().feed_json(stream)[: len(frames)] == [json.loads(data) for _, data, _ in ours]

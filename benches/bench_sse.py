"""Event streams: parsing by the network's chunks, and framing a token. Rivals are the loop people write by hand and
json.dumps; "correct" is the standard's answer (our reference).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from reference import sse as reference

import logitwire as lw

CHAT = (
    b'data: {"id":"chatcmpl-9f8e7d6c5b4a","object":"chat.completion.chunk","created":1763780000,"model":"example-8b",'
)
CHAT += b'"choices":[{"index":0,"delta":{"content":" the"},"logprobs":null,"finish_reason":null}]}\n\n'
STREAMS = {
    "chat": CHAT * 500,
    "short": b"".join(b"data: %d\n\n" % i for i in range(3000)),
    "fields, CR LF": b"id: 7\r\nevent: delta\r\ndata: one\r\ndata: two\r\n\r\n" * 800,
    "one big line": b"data: " + b"x" * 500_000 + b"\n\n",
    "many lines": b"data: x\n" * 20_000 + b"\n",
}


def ours(chunks: list[bytes]) -> list[str]:
    parser = lw.sse.Parser()
    return [event.data for chunk in chunks for event in parser.feed(chunk)]


def by_hand(chunks: list[bytes]) -> list[str]:
    """Lines that begin with "data: "; right for the streams of one's own server."""
    out, held = [], ""
    for chunk in chunks:
        *lines, held = (held + chunk.decode("utf-8", "replace")).split("\n")
        out += [line[6:] for line in lines if line.startswith("data: ")]
    return out


PARSERS: dict[str, Callable[[list[bytes]], list[str]]] = {"logitwire": ours, "by hand": by_hand}


@pytest.mark.parametrize("chunk", [16, 1024, 65_536])
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("library", PARSERS)
def test_parse(timed: Any, library: str, stream: str, chunk: int) -> None:
    data, run = STREAMS[stream], PARSERS[library]
    chunks = [data[i : i + chunk] for i in range(0, len(data), chunk)]
    events = [event.data for event in reference.parse(data).events]
    timed(library, len(events), run(chunks) == events, lambda: run(chunks))


TEXTS = {"English": " the", "Chinese": "你好", "quotes, newlines": '"\n\\"', "400 characters": "lorem ipsum " * 33}


def framer() -> Callable[[str], bytes]:
    return lw.sse.Framer("chat", id="chatcmpl-9f8e7d6c5b4a", model="example-8b", created=1_763_780_000).text


def dumps() -> Callable[[str], bytes]:
    def frame(text: str) -> bytes:
        choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
        chunk = {"id": "chatcmpl-9f8e7d6c5b4a", "object": "chat.completion.chunk", "created": 1_763_780_000}
        return f"data: {json.dumps({**chunk, 'model': 'example-8b', 'choices': [choice]})}\n\n".encode()

    return frame


FRAMERS: dict[str, Callable[[], Callable[[str], bytes]]] = {"logitwire": framer, "json.dumps": dumps}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("library", FRAMERS)
def test_frame(timed: Any, library: str, text: str) -> None:
    frame, value = FRAMERS[library](), TEXTS[text]
    (event,) = reference.parse(frame(value)).events
    correct = json.loads(event.data)["choices"][0]["delta"]["content"] == value

    def many() -> None:
        for _ in range(1000):
            frame(value)

    timed(library, 1000, correct, many)

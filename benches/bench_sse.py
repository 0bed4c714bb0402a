"""Event streams: reading by the network's chunks, and framing a token. "correct" is what the tests' reference says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from libraries import loaded
from libraries.sse import IDENTITY, READERS, WRITERS, chunk
from reference import sse as reference

import logitwire as lw

WORDS = "the of and to in a is that for it as was with be by on not he his but at are this have from or had an".split()


def chat(text: str) -> bytes:
    return f"data: {json.dumps(chunk(text), ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


STREAMS = {
    "chat": b"".join(chat(f" {WORDS[i % len(WORDS)]}") for i in range(4000)),
    "short": b"".join(b"data: %d\n\n" % i for i in range(20_000)),
    "fields, CR LF": b"".join(b"id: %d\r\nevent: token\r\ndata: %d\r\ndata: two\r\n\r\n" % (i, i) for i in range(8000)),
    "one line of 1 MB": b"data: " + b"x" * 1_000_000 + b"\n\n",
    "one event of 20,000 lines": b"".join(b"data: line %d\n" % i for i in range(20_000)) + b"\n",
}
CHUNKS = [1, 16, 256, 1024, 65_536]
# Of what takes a second at one byte a time a part says as much.
LONGEST = {1: 30_000, 16: 250_000}


@pytest.mark.parametrize("chunk_bytes", CHUNKS)
@pytest.mark.parametrize("case", STREAMS)
@pytest.mark.parametrize("library", READERS)
def test_parse(timed: Any, library: str, case: str, chunk_bytes: int) -> None:
    read, data = loaded(READERS, library), STREAMS[case]
    if len(data) > (longest := LONGEST.get(chunk_bytes, len(data))):
        data = data[: data.rindex(b"\n\n", 0, longest) + 2] if case == "chat" else data[:longest] + b"\n\n"
    chunks = [data[i : i + chunk_bytes] for i in range(0, len(data), chunk_bytes)]
    events = [event.data for event in reference.parse(data).events]
    timed(library, len(data), read(chunks) == events, lambda: read(chunks))


OUTPUTS = {"events": "feed", "slices": "feed_bytes", "JSON": "feed_json"}


@pytest.mark.parametrize("output", OUTPUTS)
def test_outputs(timed: Any, output: str) -> None:
    """What each of the three outputs costs, a chat event of it."""
    chunks = [STREAMS["chat"][i : i + 1024] for i in range(0, len(STREAMS["chat"]), 1024)]

    def run() -> int:
        feed = getattr(lw.sse.Parser(), OUTPUTS[output])
        return sum(len(feed(chunk)) for chunk in chunks)

    timed("logitwire", 4000, run() == 4000, run)


TEXTS = {
    "English": [f" {word}" for word in WORDS],
    "Chinese": ["你好", "世界", "今天", "天气"],
    "quotes, newlines": ['"', "\n", "\\n", '":', "{\n"],
    "400 characters": ["lorem ipsum " * 33],
}


@pytest.mark.parametrize("case", TEXTS)
@pytest.mark.parametrize("library", WRITERS)
def test_frame(timed: Any, library: str, case: str) -> None:
    frame = loaded(WRITERS, library)
    texts = (TEXTS[case] * 1000)[:1000]
    [event] = reference.parse(frame(texts[0])).events
    correct = json.loads(event.data) == chunk(texts[0])

    def many() -> None:
        for text in texts:
            frame(text)

    timed(library, len(texts), correct, many)


@pytest.mark.parametrize("case", TEXTS)
def test_frame_many(timed: Any, case: str) -> None:
    """64 tokens a call, one buffer."""
    identity = {name: IDENTITY[name] for name in ("id", "model", "created")}
    framer = lw.sse.Framer("chat", **identity)  # type: ignore[arg-type]
    texts = (TEXTS[case] * 64)[:64]
    events = [json.loads(event.data) for event in reference.parse(framer.texts(texts)).events]

    def many() -> None:
        for _ in range(16):
            framer.texts(texts)

    timed("logitwire", 16 * 64, events == [chunk(text) for text in texts], many)

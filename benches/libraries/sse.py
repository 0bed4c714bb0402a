"""Readers and writers of event streams: chunks to the data of each event, a token's text to the frame of a chat chunk.

Readers are given what their documentation offers for bytes that came from elsewhere; writers build the same object.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from logitwire import sse

Read = Callable[[list[bytes]], list[str]]
Frame = Callable[[str], bytes]

IDENTITY = {
    "id": "chatcmpl-9f8e7d6c5b4a39281706",
    "object": "chat.completion.chunk",
    "created": 1_763_780_000,
    "model": "example-8b-instruct",
}


def chunk(text: str) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    return {**IDENTITY, "choices": [choice]}


# -- readers -----------------------------------------------------------------------------------------------------------


def ours() -> Read:
    def read(chunks: list[bytes]) -> list[str]:
        feed = sse.Parser().feed
        return [event.data for chunk in chunks for event in feed(chunk)]

    return read


def by_hand() -> Read:
    """Lines that begin with "data: ", as many clients have it."""

    def read(chunks: list[bytes]) -> list[str]:
        out, held = [], ""
        for chunk in chunks:
            *lines, held = (held + chunk.decode("utf-8", "replace")).split("\n")
            out += [line[6:] for line in lines if line.startswith("data: ")]
        return out

    return read


def httpx_sse() -> Read:
    import httpx
    from httpx_sse import EventSource

    headers = {"content-type": "text/event-stream"}

    def read(chunks: list[bytes]) -> list[str]:
        response = httpx.Response(200, headers=headers, content=iter(chunks))
        return [event.data for event in EventSource(response).iter_sse()]

    return read


def httpx2() -> Read:
    import httpx2
    from httpx2._sse import EventSource

    headers, request = {"content-type": "text/event-stream"}, httpx2.Request("GET", "http://localhost")

    def read(chunks: list[bytes]) -> list[str]:
        response = httpx2.Response(200, headers=headers, content=iter(chunks), request=request)
        source: Any = EventSource(response)
        return [event.data for event in (source.iter_sse() if hasattr(source, "iter_sse") else source)]

    return read


def openai() -> Read:
    from openai._streaming import SSEDecoder

    return lambda chunks: [event.data for event in SSEDecoder().iter_bytes(iter(chunks))]


def sseclient() -> Read:
    from sseclient import SSEClient

    return lambda chunks: [event.data for event in SSEClient(iter(chunks)).events()]


def launchdarkly() -> Read:
    from ld_eventsource.actions import Event
    from ld_eventsource.reader import _BufferedLineReader, _SSEReader

    def read(chunks: list[bytes]) -> list[str]:
        found = _SSEReader(_BufferedLineReader.lines_from(chunks)).events_and_comments()
        return [event.data for event in found if isinstance(event, Event)]

    return read


READERS: dict[str, Callable[[], Read]] = {
    "logitwire": ours,
    "httpx-sse": httpx_sse,
    "httpx2": httpx2,
    "launchdarkly-eventsource": launchdarkly,
    "openai": openai,
    "sseclient-py": sseclient,
    "by hand": by_hand,
}

# -- writers -----------------------------------------------------------------------------------------------------------


def framer() -> Frame:
    return sse.Framer(
        "chat",
        id=str(IDENTITY["id"]),
        model=str(IDENTITY["model"]),
        created=1_763_780_000,
    ).text


def standard_json() -> Frame:
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    return lambda text: f"data: {encode(chunk(text))}\n\n".encode()


def orjson() -> Frame:
    from orjson import dumps

    return lambda text: b"data: " + dumps(chunk(text)) + b"\n\n"


def orjson_template() -> Frame:
    """Our way with another's escapes: the JSON around the text made once."""
    from orjson import dumps

    before, after = dumps(chunk("?")).split(b'"?"')
    head, tail = b"data: " + before, after + b"\n\n"
    return lambda text: head + dumps(text) + tail


def msgspec() -> Frame:
    from msgspec import Struct
    from msgspec.json import Encoder

    class Delta(Struct):
        content: str

    class Choice(Struct):
        index: int
        delta: Delta
        logprobs: None = None
        finish_reason: str | None = None

    class Chunk(Struct):
        id: str
        object: str
        created: int
        model: str
        choices: list[Choice]

    encode = Encoder().encode
    identity = list(IDENTITY.values())
    return lambda text: b"data: " + encode(Chunk(*identity, [Choice(0, Delta(text))])) + b"\n\n"


def pydantic() -> Frame:
    from pydantic import BaseModel

    class Delta(BaseModel):
        content: str | None = None

    class Choice(BaseModel):
        index: int
        delta: Delta
        logprobs: dict[str, Any] | None = None
        finish_reason: str | None = None

    class Chunk(BaseModel):
        id: str
        object: str
        created: int
        model: str
        choices: list[Choice]

    def frame(text: str) -> bytes:
        choice = Choice(index=0, delta=Delta(content=text), logprobs=None, finish_reason=None)
        return f"data: {Chunk(**IDENTITY, choices=[choice]).model_dump_json()}\n\n".encode()

    return frame


def sse_starlette() -> Frame:
    from orjson import dumps
    from sse_starlette import ServerSentEvent

    return lambda text: ServerSentEvent(data=dumps(chunk(text)).decode()).encode()


WRITERS: dict[str, Callable[[], Frame]] = {
    "logitwire": framer,
    "json": standard_json,
    "orjson": orjson,
    "orjson, template": orjson_template,
    "msgspec": msgspec,
    "pydantic": pydantic,
    "sse-starlette": sse_starlette,
}

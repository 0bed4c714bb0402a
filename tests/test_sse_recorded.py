"""Streams that OpenAI sent, as langchain-openai recorded them: 131 of them, cut anywhere, by all three outputs."""

from __future__ import annotations

import gzip
import json
import random
import tarfile
from functools import cache
from typing import Any

import pytest
import vocabularies
from reference import sse as reference
from test_sse import cut

import logitwire as lw


@cache
def recorded() -> dict[str, bytes]:
    """The name of each recording to the body of its response."""
    yaml = pytest.importorskip("yaml")
    loader = type("Loader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {})
    loader.add_constructor("!binary", yaml.constructor.SafeConstructor.construct_yaml_binary)
    found = {}
    with tarfile.open(vocabularies.path("langchain-openai.tar.gz")) as archive:
        for member in archive:
            if "/cassettes/" not in member.name or not member.name.endswith(".yaml.gz"):
                continue
            file = archive.extractfile(member)
            assert file is not None
            cassette = yaml.load(gzip.decompress(file.read()), loader)
            for i, response in enumerate(responses(cassette)):
                if body := body_of(response):
                    found[f"{member.name.rpartition('/')[2]}, {i}"] = body
    return found


def responses(cassette: dict[str, Any]) -> list[dict[str, Any]]:
    if interactions := cassette.get("interactions"):
        return [interaction["response"] for interaction in interactions]
    return cassette.get("responses", [])


def body_of(response: dict[str, Any]) -> bytes | None:
    """Of an event stream."""
    kind = {name.lower(): value for name, value in response.get("headers", {}).items()}.get("content-type", "")
    body = response.get("body") or b""
    if isinstance(body, dict):
        body = body.get("string") or b""
    if isinstance(body, str):
        body = body.encode()
    if body.startswith(b"\x1f\x8b"):
        body = gzip.decompress(body)
    return body if b"data:" in body[:400] or "event-stream" in str(kind) else None


@pytest.fixture(scope="module")
def streams() -> dict[str, bytes]:
    return recorded()


def test_all_of_them_are_there(streams: dict[str, bytes]) -> None:
    assert len(streams) == 131
    assert sum(len(reference.parse(stream).events) for stream in streams.values()) > 5000


def test_every_recording_is_read_by_the_rules_however_cut(streams: dict[str, bytes]) -> None:
    for name, stream in streams.items():
        rng = random.Random(name)
        want = [tuple(event) for event in reference.parse(stream).events]
        for size in (1, 16, 1024, 65_536):
            chunks = [stream[i : i + size] for i in range(0, len(stream), size)]
            assert [(e.type, e.data, e.id) for e in lw.sse.events(chunks)] == want, (name, size)
        chunks = cut(stream, rng)
        parser = lw.sse.Parser()
        slices = [(e.type, bytes(e.data).decode(), e.id) for chunk in chunks for e in parser.feed_bytes(chunk)]
        assert slices == want, name
        payloads = [json.loads(data) for _, data, _ in want if data != "[DONE]"]
        stream_of_payloads = lw.sse.payloads(chunks)
        assert list(stream_of_payloads) == payloads, name
        assert stream_of_payloads.parser.done == any(data == "[DONE]" for _, data, _ in want), name


def test_the_checker_finds_no_error_in_them(streams: dict[str, bytes]) -> None:
    for name, stream in streams.items():
        errors = [d for d in lw.sse.check(cut(stream, random.Random(name))) if d.severity == "error"]
        assert errors == [], name


def test_what_was_sent_is_framed_and_read_again(streams: dict[str, bytes]) -> None:
    for name, stream in streams.items():
        events = lw.sse.Parser().feed(stream)
        again = b"".join(lw.sse.frame(e.data, event=None if e.type == "message" else e.type) for e in events)
        assert [(e.type, e.data) for e in lw.sse.Parser().feed(again)] == [(e.type, e.data) for e in events], name

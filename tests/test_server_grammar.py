"""Answers that a client holds to a grammar: every way to ask for one, and what is kept of them."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("msgspec", reason="the server extra is not installed")
pytest.importorskip("starlette", reason="the server extra is not installed")
pytest.importorskip("uvicorn", reason="the server extra is not installed")

from server_support import Call, NullModel, byte_tokenizer, call, events

import logitwire as lw
from logitwire import errors
from logitwire.server.grammars import Constraint, Grammars

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
HELLO = [{"role": "user", "content": "hello"}]
SCHEMA = {
    "type": "object",
    "properties": {"b": {"type": "boolean"}, "a": {"enum": ["x", "y"]}},
    "required": ["b", "a"],
    "additionalProperties": False,
}
ONE_OF = ["yes", "no", "perhaps"]


@pytest.fixture(scope="module")
def app() -> Iterator[Any]:
    with lw.Engine(NullModel()) as engine:
        yield lw.server.create_app(engine)


def content(app: Any, **body: Any) -> str:
    """The answer, which is the same whole and in a stream, in a chat and as a completion of the same prompt."""
    body = {"messages": HELLO, "seed": 3, "max_tokens": 400} | body
    answer = call(app, "POST", CHAT, body)
    assert answer.status == 200, answer.body
    choice = answer.json["choices"][0]
    assert choice["finish_reason"] == "stop"
    streamed = call(app, "POST", CHAT, body | {"stream": True})
    pieces = [event["choices"][0] for event in events(streamed.body)]
    assert pieces[-1]["finish_reason"] == "stop"
    text = str(choice["message"]["content"])
    assert "".join(piece["delta"].get("content", "") for piece in pieces) == text
    return text


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "asked",
    [
        {"response_format": {"type": "regex", "value": "yes|no|perhaps"}},
        {"grammar": {"type": "regex", "value": "yes|no|perhaps"}},
        {"grammar": {"type": "json", "value": {"enum": ONE_OF}}},
        {"response_format": {"type": "json", "value": json.dumps({"enum": ONE_OF})}},
        {"json_schema": {"enum": ONE_OF}},
        {"guided_regex": "yes|no|perhaps"},
        {"guided_choice": ONE_OF},
        {"guided_json": {"enum": ONE_OF}},
        {"guided_json": json.dumps({"enum": ONE_OF})},
        {"structured_outputs": {"choice": ONE_OF}},
        {"structured_outputs": {"regex": "yes|no|perhaps"}},
        {"structured_outputs": {"json": {"enum": ONE_OF}}},
    ],
    ids=json.dumps,
)
def test_every_way_to_ask(app: Any, asked: dict[str, Any], seed: int) -> None:
    text = content(app, seed=seed, **asked)
    assert text in ONE_OF or json.loads(text) in ONE_OF


@pytest.mark.parametrize("strict", [True, False, None])
def test_json_schema(app: Any, strict: bool | None) -> None:
    named = {"name": "it", "schema": SCHEMA, "strict": strict}
    orders = set()
    for seed in range(12):
        text = content(app, seed=seed, response_format={"type": "json_schema", "json_schema": named})
        value = json.loads(text)
        assert (set(value), type(value["b"]), value["a"] in ("x", "y")) == ({"a", "b"}, bool, True)
        orders.add(tuple(value))
    assert orders == ({("b", "a")} if strict else {("b", "a"), ("a", "b")})


def test_json_object(app: Any) -> None:
    for asked in (
        {"response_format": {"type": "json_object"}},
        {"structured_outputs": {"json_object": True}},
        {"response_format": {"type": "json_object", "schema": SCHEMA}},
    ):
        body = {"prompt": "x\n", "seed": 1, "max_tokens": 60, **asked}
        answer = call(app, "POST", COMPLETIONS, body)
        assert answer.status == 200, answer.body
        choice = answer.json["choices"][0]
        assert re.match(r"\s*\{", choice["text"])
        if choice["finish_reason"] == "stop":
            assert isinstance(json.loads(choice["text"]), dict)


def test_text_and_null_ask_for_nothing(app: Any) -> None:
    free = call(app, "POST", CHAT, {"messages": HELLO, "seed": 3, "max_tokens": 8}).json["choices"][0]["message"]
    for asked in (
        {"response_format": {"type": "text"}},
        {"response_format": None, "guided_json": None, "grammar": None},
    ):
        body = {"messages": HELLO, "seed": 3, "max_tokens": 8} | asked
        assert call(app, "POST", CHAT, body).json["choices"][0]["message"] == free


def test_a_refusal_names_field_pointer_and_code(app: Any) -> None:
    schema = {"properties": {"a": {"unevaluatedItems": False, "$dynamicRef": "#b"}}}
    body = {"messages": HELLO, "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    error = call(app, "POST", CHAT, body).json["error"]
    assert (error["param"], error["code"]) == ("response_format.json_schema.schema", "invalid_schema")
    assert "#/properties/a" in error["message"]
    error = call(app, "POST", CHAT, {"messages": HELLO, "guided_regex": "a)"}).json["error"]
    assert (error["param"], error["code"]) == ("guided_regex", "invalid_grammar")


VOCAB = byte_tokenizer().vocab


def choice(*texts: str) -> Constraint:
    return Constraint(kind="choice", source=texts, named="guided_choice")


def test_a_grammar_is_compiled_once() -> None:
    async def run() -> None:
        grammars = Grammars(VOCAB)
        first, second = await asyncio.gather(grammars.get(choice("a", "b")), grammars.get(choice("a", "b")))
        assert first is second
        assert await grammars.get(choice("a", "b")) is first
        assert await grammars.get(choice("a", "c")) is not first
        named = Constraint(kind="choice", source=("a", "b"), named="structured_outputs.choice")
        assert await grammars.get(named) is first
        regex = Constraint(kind="regex", source="a", named="x")
        schema = Constraint(kind="json_schema", source=b"true", named="x")
        strict = Constraint(kind="json_schema", source=b"true", options={"property_order": "schema"}, named="x")
        assert len({id(await grammars.get(asked)) for asked in (regex, schema, strict)}) == 3

    asyncio.run(run())


def test_those_asked_for_last_are_kept() -> None:
    async def run() -> None:
        grammars = Grammars(VOCAB, max_grammars=2)
        a, b = await grammars.get(choice("a")), await grammars.get(choice("b"))
        assert await grammars.get(choice("a")) is a
        await grammars.get(choice("c"))
        assert await grammars.get(choice("a")) is a
        assert await grammars.get(choice("b")) is not b
        assert len(grammars) == 2
        small = Grammars(VOCAB, max_grammar_bytes=1)
        for text in "abc":
            await small.get(choice(text))
        assert len(small) == 1

    asyncio.run(run())


def test_an_error_is_kept_for_nobody_and_names_the_field_of_each() -> None:
    async def run() -> None:
        grammars = Grammars(VOCAB)
        for named in ("guided_choice", "structured_outputs.choice"):
            with pytest.raises(errors.GrammarError) as caught:
                await grammars.get(Constraint(kind="choice", source=(), named=named))
            assert caught.value.field == named  # type: ignore[attr-defined]
        assert len(grammars) == 0

    asyncio.run(run())


def test_who_asked_first_may_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    compile = Constraint.compile

    def held(self: Constraint, vocab: lw.Vocab) -> lw.Grammar:
        assert gate.wait(60)
        return compile(self, vocab)

    monkeypatch.setattr(Constraint, "compile", held)

    async def run() -> None:
        grammars = Grammars(VOCAB)
        first = asyncio.create_task(grammars.get(choice("a")))
        second = asyncio.create_task(grammars.get(choice("a")))
        await asyncio.sleep(0.01)
        first.cancel()
        gate.set()
        assert isinstance(await second, lw.Grammar)
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(run())


def test_a_server_goes_on_while_a_grammar_compiles(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    compile = Constraint.compile

    def held(self: Constraint, vocab: lw.Vocab) -> lw.Grammar:
        assert gate.wait(60)
        return compile(self, vocab)

    monkeypatch.setattr(Constraint, "compile", held)

    async def run() -> None:
        slow = asyncio.create_task(Call(app, "POST", CHAT, {"messages": HELLO, "guided_choice": ["z"]}).run())
        await asyncio.sleep(0.01)
        assert (await Call(app, "POST", CHAT, {"messages": HELLO, "max_tokens": 2}).run()).status == 200
        assert not slow.done()
        gate.set()
        assert (await slow).json["choices"][0]["message"]["content"] == "z"

    asyncio.run(run())

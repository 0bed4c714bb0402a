"""Regular expressions and schemas that others died of: as (kind, name, source), kind "regex" or "schema"."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from string import ascii_lowercase
from typing import Any


def regexes() -> Iterator[tuple[str, str]]:
    yield "leading NUL", "\x00"
    yield "middle NUL", "a\x00b"
    yield "double star", "foo**"
    yield "unclosed class", "[a-"
    yield "look-behind and star", "(?<=x)*y"
    yield "backreference", r"(a)\1"
    yield "look-ahead", "(?=a)b"
    yield "nested quantifier", "(a+)+b"
    yield "subset blow-up", "(a|b)*a(a|b){20}"
    yield "subset blow-up, any character", ".*a.{24}"
    yield "a million", "a{1000000}"
    yield "nested counts", "((a{100}){100}){100}"
    yield "20,000 groups", "(" * 20000 + "a" + ")" * 20000
    yield "100,000 alternatives", "|".join(f"w{i}" for i in range(100_000))
    yield "reversed range", "a{5,2}"
    yield "counted letters", r"\p{L}{1,200}"
    yield "1 MB of text", "a" * 1_000_000
    rng = random.Random(0)
    yield "0.6 MB of letters", "".join(rng.choices(ascii_lowercase, k=600_000))
    yield "40,000 random words", "|".join("".join(rng.choices(ascii_lowercase, k=8)) for _ in range(40_000))
    yield "20 loops in loops", "(?:(?!bc)" * 20 + "a" + "d?)+" * 20
    yield "ten looks ahead", "".join(f"(?=.*{c}.{{12}})" for c in "abcdefghij") + ".*"
    yield "words apart, any number", r"(?:\b\w+\b[\s,.]*)*"


def chain(n: int, link: Callable[[Any], Any], last: Any) -> Any:
    """A schema that leads through n references."""
    defs = {f"d{i}": link({"$ref": f"#/$defs/d{i + 1}"}) for i in range(n)}
    return {"$ref": "#/$defs/d0", "$defs": defs | {f"d{n}": last}}


def twice(ref: Any) -> Any:
    branch = {"type": "object", "properties": {"a": ref, "b": ref}}
    return {"anyOf": [branch, branch]}


def closed(ref: Any) -> Any:
    return {"type": "object", "properties": {"a": ref}, "required": ["a"], "additionalProperties": False}


def nested(n: int) -> str:
    return '{"type":"array","items":' * n + '{"type":"string"}' + "}" * n


def schemas() -> Iterator[tuple[str, Any]]:
    string = {"type": "string"}
    yield "unknown type", {"type": "something"}
    yield "type is a number", {"type": 5}
    yield "a number", 3
    yield "no text", ""
    yield "broken pattern", {"type": "string", "pattern": "(("}
    yield "pattern of NUL", {"type": "string", "pattern": "\x00"}
    yield "5,000 nested arrays", nested(5000)
    yield "100,000 nested arrays", nested(100_000)
    yield "self", {"$ref": "#"}
    yield "circle", {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    yield "dangling", {"$ref": "#/$defs/none"}
    yield "remote", {"$ref": "http://127.0.0.1:9/x.json"}
    yield "allOf self", {"allOf": [{"$ref": "#"}]}
    yield "maxLength of a billion", {"type": "string", "maxLength": 10**9}
    yield "minItems of ten million", {"type": "array", "items": {"type": "integer"}, "minItems": 10**7}
    yield "enum of 100,000", {"enum": [f"v{i}" for i in range(100_000)]}
    many = {f"p{i}": string for i in range(20_000)}
    yield "20,000 properties", {"type": "object", "properties": many, "additionalProperties": False}
    some = {f"p{i}": string for i in range(200)}
    yield "200 optional", {"type": "object", "properties": some, "additionalProperties": False}
    yield "anyOf that doubles 12 times", chain(12, twice, string)
    branches = [
        {
            "type": "object",
            "properties": {f"k{j}": {"anyOf": [{"const": f"v{j}_{i}"} for i in range(60)]}},
            "required": [f"k{j}"],
        }
        for j in range(60)
    ]
    yield "60 by 60 anyOf", {"anyOf": branches}
    yield "multipleOf next to nothing", '{"type":"number","multipleOf":1e-320}'
    yield "minimum above maximum", {"type": "integer", "minimum": 5, "maximum": 2}
    yield "bounds of 300 digits", '{"type":"integer","minimum":-1e300,"maximum":1e300}'
    yield "half a surrogate pair", '{"enum":["\\ud800"]}'
    yield "false", False
    yield "pattern and maxLength", {"type": "string", "pattern": "^(a|b)*a(a|b){20}$", "maxLength": 100}
    yield "nested counts", {"type": "string", "pattern": "^(x{0,500}){0,500}$"}
    letters = "abcdefghijklmnopqrstuvwxyz0123"
    yield "30 patterns at once", {"allOf": [{"type": "string", "pattern": f".*{c}.{{12}}"} for c in letters]}
    yield "20,000 references", chain(20_000, lambda ref: ref, string)
    yield "20,000 arrays by reference", chain(20_000, lambda ref: {"type": "array", "items": ref}, string)
    yield "5,000 objects by reference", chain(5_000, closed, string)

    texts = ["".join(random.Random(i).choices(ascii_lowercase, k=10)) for i in range(50_000)]
    yield "enum of 50,000 random texts", {"enum": texts}
    overlapping = {text[:2]: {"type": "string", "maxLength": i} for i, text in enumerate(texts[:200])}
    yield "200 patternProperties that overlap", {"type": "object", "patternProperties": overlapping}
    yield "primes", {"allOf": [{"type": "integer", "multipleOf": prime} for prime in (997, 991, 983, 977, 971)]}


def hostile() -> Iterator[tuple[str, str, str]]:
    yield from (("regex", name, source) for name, source in regexes())
    yield from (("schema", name, s if isinstance(s, str) else json.dumps(s)) for name, s in schemas())

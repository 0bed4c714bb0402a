"""Instances of a JSON Schema, more or less: most are valid, and a validator must say which."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from .format import JUDGES

TEXTS = [
    "",
    "a",
    "ab",
    "foo",
    "foobar",
    "b" * 7,
    "é",
    "日本",
    "😀",
    "\n",
    '"',
    "\\",
    "/",
    "2024-02-29",
    "x_1",
    "A1",
    "10",
]
TEXTS += [
    "12:30:00Z",
    "2024-02-29T12:30:00Z",
    "a@b.example",
    "::1",
    "127.0.0.1",
    "https://example.com/a?b#c",
    "aaa",
    "AB-12",
]
TEXTS += ["abab", "ccab", "abccab", "cccc", '"\\\n', "ü日", "ba", "bba-b", "ab-7", "2023-01-31", "aé"]
TEXTS += ["2eb8aa08-aa98-11ea-b4aa-73b441d16380", "1:2:3:4:5:6:7:8", "mailto:a@b", "b.example"]
NUMBERS = [
    0,
    1,
    -1,
    2,
    3,
    7,
    10,
    99,
    100,
    1000,
    Decimal("0.5"),
    Decimal("1.5"),
    Decimal("-2.25"),
    Decimal("0.01"),
    10**16,
]
KINDS = ["null", "boolean", "integer", "number", "string", "array", "object"]


class Instances:
    """Draws instances of one schema."""

    def __init__(self, schema: Any, rng: random.Random) -> None:
        self.root = schema
        self.rng = rng

    def draw(self) -> Any:
        return self.of(self.root, 4)

    def resolved(self, reference: str) -> Any:
        part = self.root
        if reference[1:2] not in ("", "/"):
            defs = [part, *part.get("$defs", {}).values()]
            return next(found for found in defs if found.get("$anchor") == reference[1:])
        for step in reference.removeprefix("#").split("/")[1:]:
            step = step.replace("%25", "%").replace("~1", "/").replace("~0", "~")
            part = part[int(step)] if isinstance(part, list) else part.get(step, {})
        return part

    def merged(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """With what it refers to, and one branch of each choice, laid over it."""
        out = dict(schema)
        for _ in range(depth):
            more = [self.resolved(out.pop("$ref"))] if str(out.get("$ref", "")).startswith("#") else []
            more += out.pop("allOf", [])
            more += [self.rng.choice(out.pop(key)) for key in ("anyOf", "oneOf") if out.get(key)]
            if not more:
                break
            for part in more:
                if isinstance(part, dict):
                    merged = {k: {**out[k], **part[k]} for k in ("properties",) if k in out and k in part}
                    required = {"required": out.get("required", []) + part.get("required", [])}
                    out = {**out, **part, **merged, **required}
        return out

    def of(self, schema: Any, depth: int) -> Any:
        rng = self.rng
        if not isinstance(schema, dict):
            schema = {}
        schema = self.merged(schema, 6)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return rng.choice(schema["enum"])
        kinds = schema.get("type", KINDS)
        kind = rng.choice(kinds if isinstance(kinds, list) else [kinds])
        if "type" not in schema:
            hints = {"properties": "object", "required": "object", "items": "array", "prefixItems": "array"}
            hints |= {"pattern": "string", "minLength": "string", "minimum": "number", "multipleOf": "number"}
            kind = next((kind for key, kind in hints.items() if key in schema and rng.random() < 0.8), kind)
        match kind:
            case "null":
                return None
            case "boolean":
                return rng.random() < 0.5
            case "integer" | "number":
                return self.number(schema, kind)
            case "string":
                return self.text(schema)
            case "array":
                return self.array(schema, depth)
            case _:
                return self.object(schema, depth)

    def number(self, schema: dict[str, Any], kind: str) -> Any:
        near = [schema[k] for k in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") if k in schema]
        near = [Decimal(str(x)) + d for x in near if not isinstance(x, bool) for d in (0, 1, -1, Decimal("0.5"))]
        step = Decimal(str(schema.get("multipleOf", 1)))
        drawn = Decimal(self.rng.choice(near or NUMBERS))
        if "multipleOf" in schema and self.rng.random() < 0.8:
            drawn = (drawn / step).to_integral_value() * step
        if kind == "integer":
            drawn = drawn.to_integral_value()
        return int(drawn) if drawn == drawn.to_integral_value() else drawn

    def text(self, schema: dict[str, Any]) -> str:
        judge = JUDGES.get(schema.get("format", ""))
        fitting = [text for text in TEXTS if judge is not None and judge(text)]
        drawn = self.rng.choice(fitting if fitting and self.rng.random() < 0.7 else TEXTS)
        least, most = schema.get("minLength", 0), schema.get("maxLength", 1 << 20)
        if len(drawn) < least:
            drawn = (drawn + "xyz" * int(least))[: int(least)]
        return drawn[: int(most)]

    def array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        prefix = schema.get("prefixItems", [])
        if isinstance(schema.get("items"), list):
            prefix, rest = schema["items"], schema.get("additionalItems", {})
        else:
            rest = schema.get("items", {})
        least = int(schema.get("minItems", 0))
        n = min(least + self.rng.randrange(4), int(schema.get("maxItems", 9)), 12) if depth else min(least, 12)
        if rest is False:
            n = min(n, len(prefix))
        return [self.of(prefix[i] if i < len(prefix) else rest, depth - 1) for i in range(n)]

    def object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        if not isinstance(properties, dict):
            properties = {}
        required = [name for name in schema.get("required", []) if isinstance(name, str)]
        names = list(dict.fromkeys(required))
        if depth:
            names += [name for name in properties if name not in names and self.rng.random() < 0.5]
            if schema.get("additionalProperties") is not False and self.rng.random() < 0.5:
                names += [name for name in ("extra", "a b", "é") if name not in names and self.rng.random() < 0.4]
        rest = schema.get("additionalProperties", {})
        return {name: self.of(properties.get(name, rest), max(depth - 1, 0)) for name in names}

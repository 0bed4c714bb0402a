"""JSON Schema as the `jsonschema` library has it, but with numbers exact: a validator beside the engine, for tests."""

from __future__ import annotations

import decimal
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import referencing.exceptions
from jsonschema.exceptions import ValidationError
from jsonschema_specifications import REGISTRY

from . import format as reference_format

DRAFTS = (
    jsonschema.Draft4Validator,
    jsonschema.Draft6Validator,
    jsonschema.Draft7Validator,
    jsonschema.Draft201909Validator,
    jsonschema.Draft202012Validator,
)


class UnknownError(Exception):
    """The library cannot tell."""


def loads(text: str | bytes) -> Any:
    """JSON, its numbers exact. ValueError if it is none, or has a key twice."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            raise ValueError("a key stands twice")
        return found

    def constant(name: str) -> Any:
        raise ValueError(name)

    return json.loads(text, parse_float=decimal.Decimal, parse_constant=constant, object_pairs_hook=pairs)


def is_integer(_: Any, value: object) -> bool:
    if isinstance(value, decimal.Decimal):
        return value == value.to_integral_value()
    return isinstance(value, int) and not isinstance(value, bool)


def is_integer_of_draft4(_: Any, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def multiple_of(_: Any, of: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    is_number = isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool)
    if is_number and decimal.Decimal(value) % decimal.Decimal(of) != 0:
        yield ValidationError(f"{value} is no multiple of {of}")


def pattern(_: Any, text: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    # A `$` of ECMAScript is the end, not a newline before it; the classes that differ in ASCII are not judged at all.
    if isinstance(value, str) and not re.search(re.sub(r"(?<!\\)\$$", r"(?!\\n)\\Z", text), value, re.ASCII):
        yield ValidationError(f"{value!r} does not match {text!r}")


def patterns(schema: Any) -> Iterator[str]:
    todo = [schema]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            if isinstance(part.get("pattern"), str):
                yield part["pattern"]
            if isinstance(part.get("patternProperties"), dict):
                # The library searches for these itself, with Python's own classes.
                yield from (key.replace("\\d", "\\D").replace("\\w", "\\W") for key in part["patternProperties"])
        if isinstance(part, (dict, list)):
            todo.extend(part.values() if isinstance(part, dict) else part)


def is_ecma_alone(pattern: str) -> bool:
    """Whether Python reads a pattern otherwise, or not at all."""
    try:
        re.compile(pattern)
    except re.error:
        return True
    return re.search(r"\\[pPckZAsSWBD]|\(\?[<P]", pattern) is not None


def checker() -> jsonschema.FormatChecker:
    made = jsonschema.FormatChecker(formats=())
    for name, judge in reference_format.JUDGES.items():
        made.checks(name)(lambda value, judge=judge: not isinstance(value, str) or judge(value))
    return made


def extended(draft: Any) -> Any:
    integer = is_integer_of_draft4 if draft is jsonschema.Draft4Validator else is_integer
    types = draft.TYPE_CHECKER.redefine("integer", integer)
    return jsonschema.validators.extend(draft, {"multipleOf": multiple_of, "pattern": pattern}, type_checker=types)


EXACT = {draft.META_SCHEMA["$schema"].rstrip("#"): extended(draft) for draft in DRAFTS}
LATEST = EXACT["https://json-schema.org/draft/2020-12/schema"]


def validator(schema: str) -> Callable[[str | bytes], bool]:
    """Tells of a text whether it is JSON that this schema allows. UnknownError: the library cannot tell."""
    source = loads(schema)
    draft = source.get("$schema", "") if isinstance(source, dict) else ""
    cls = EXACT.get(str(draft).rstrip("#"), LATEST)
    made = cls(source, registry=REGISTRY, format_checker=checker())
    is_judged = not any(map(is_ecma_alone, patterns(source)))

    def is_valid(text: str | bytes) -> bool:
        try:
            value = loads(text)
        except ValueError:
            return False
        if not is_judged:
            raise UnknownError("patterns that Python reads otherwise")
        with decimal.localcontext(prec=2000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN):
            try:
                return bool(made.is_valid(value))
            except (referencing.exceptions.Unresolvable, RecursionError, decimal.DecimalException) as error:
                raise UnknownError(str(error)) from error

    return is_valid

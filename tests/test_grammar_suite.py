"""JSON Schema against its official test suite, draft 2020-12 with all that is optional:
`vectors/json_schema_suite.json`, under the licence beside it. What becomes of each group stands in
`vectors/json_schema_verdicts.json` and may only get better: set LOGITWIRE_RATCHET=write to note what did.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
from conftest import VECTORS, vectors
from grammar_support import VOCAB, check_sequence, reads, respelled
from reference.json_schema import UnknownError, loads, validator

import logitwire as lw
from logitwire import errors

pytestmark = pytest.mark.skipif(not hasattr(lw.Grammar, "json_schema"), reason="schemas are not compiled yet")

SUITE = vectors("json_schema_suite")
VERDICTS = VECTORS / "json_schema_verdicts.json"
FILES = sorted({group["file"] for group in SUITE})


def groups(file: str) -> list[tuple[str, dict[str, Any]]]:
    found = [group for group in SUITE if group["file"] == file]
    return [(f"{file} {i}: {group['description']}", group) for i, group in enumerate(found)]


def compiled(schema: Any) -> lw.Grammar:
    return lw.Grammar.json_schema(VOCAB, json.dumps(schema))


def verdict(group: dict[str, Any]) -> dict[str, Any]:
    """What becomes of a group: read right; refused as a whole, and why; or read wrong, and which of its tests."""
    try:
        grammar = compiled(group["schema"])
    except (errors.SchemaError, errors.LimitError) as error:
        is_empty = not any(test["valid"] for test in group["tests"])
        return {"refused": str(error)} | ({"no instance is valid": True} if is_empty else {})
    wrong: dict[str, list[str]] = {"accepted": [], "rejected": []}
    for test in group["tests"]:
        is_read = reads(grammar, json.dumps(test["data"]).encode())
        if is_read != test["valid"]:
            wrong["accepted" if is_read else "rejected"].append(test["description"])
    return {kind: tests for kind, tests in wrong.items() if tests} or {"right": len(group["tests"])}


def is_worse(now: dict[str, Any], then: dict[str, Any]) -> bool:
    if "right" in now:
        return False
    if "refused" in now:
        return "refused" not in then
    known = {kind: set(then.get(kind, ())) for kind in ("accepted", "rejected")}
    return "right" in then or any(not set(now.get(kind, ())) <= known[kind] for kind in known)


@pytest.mark.parametrize("file", FILES)
def test_no_group_gets_worse(file: str) -> None:
    noted = json.loads(VERDICTS.read_text("utf-8")) if VERDICTS.exists() else {}
    now = {name: verdict(group) for name, group in groups(file)}
    if os.environ.get("LOGITWIRE_RATCHET") == "write":
        kept = {name: what for name, what in noted.items() if not name.startswith(f"{file} ")}
        text = json.dumps(dict(sorted((kept | now).items())), indent=0, ensure_ascii=False)
        VERDICTS.write_text(text + "\n", "utf-8")
        return
    for name, what in now.items():
        assert not is_worse(what, noted.get(name, {"refused": ""})), (name, what, noted.get(name))
        if noted.get(name, {}).keys() != what.keys():
            print(f"better: {name}: {what}, was {noted.get(name)}")


def test_a_verdict_that_is_worse_is_told() -> None:
    right, refused = {"right": 3}, {"refused": "why"}
    some, more = {"accepted": ["a"]}, {"accepted": ["a", "b"]}
    for now, then in [(refused, right), (some, right), (more, some), (some, refused), ({"rejected": ["a"]}, some)]:
        assert is_worse(now, then), (now, then)
    for now, then in [(right, refused), (right, some), (some, more), (refused, {"refused": "why not"}), (some, some)]:
        assert not is_worse(now, then), (now, then)


def test_what_is_accepted_wrongly_is_known() -> None:
    """Nothing but what has a format that is an annotation here, which is noted."""
    noted = json.loads(VERDICTS.read_text("utf-8"))
    files = {name.split()[0] for name, what in noted.items() if "accepted" in what}
    assert files <= {f"optional/format/{name}" for name in ("ecmascript-regex", "idn-hostname", "regex")}


def exact_value(value: Any) -> Any:
    return loads(json.dumps(value))


@pytest.mark.parametrize("file", FILES)
def test_every_spelling_and_every_cut_has_one_verdict(file: str) -> None:
    noted = json.loads(VERDICTS.read_text("utf-8"))
    for name, group in groups(file):
        if "right" not in noted[name]:
            continue
        rng = random.Random(name)
        grammar = compiled(group["schema"])
        for test in group["tests"]:
            for text in respelled(exact_value(test["data"]), rng):
                try:
                    data = text.encode()
                except UnicodeEncodeError:
                    continue
                assert reads(grammar, data) == test["valid"], (name, test["description"], text)
            data = json.dumps(test["data"]).encode()
            if len(data) < 200:
                check_sequence(grammar, data, test["valid"], rng)


def test_the_validator_beside_the_engine_judges_as_the_suite() -> None:
    """The oracle of the other tests, on the part of the suite that the engine reads."""
    noted = json.loads(VERDICTS.read_text("utf-8"))
    disagreed, told = [], 0
    for file in FILES:
        for name, group in groups(file):
            if "right" not in noted[name]:
                continue
            for test in group["tests"]:
                try:
                    is_valid = validator(json.dumps(group["schema"]))(json.dumps(test["data"]))
                except UnknownError:
                    continue
                told += 1
                if is_valid != test["valid"]:
                    disagreed.append((name, test["description"]))
    assert told > 500
    assert not disagreed

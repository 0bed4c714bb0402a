"""Masks as a whole: what is sampled from them is what was asked for, all that was asked for can be sampled, and every
way to the same text gives the same masks. Each law is broken on purpose too, by matchers that are a little wrong.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import vectors
from grammar_support import END, VOCAB, bits, check_mask, check_sequence, pieces, reads, respelled, walk
from numpy.typing import NDArray
from reference.grammar import Finite, FiniteMatcher
from reference.json_instance import Instances
from reference.json_schema import UnknownError, loads, validator

import logitwire as lw
from logitwire import errors

pytestmark = pytest.mark.skipif(not hasattr(lw.Grammar, "json_schema"), reason="schemas are not compiled yet")

SCHEMAS: dict[str, Any] = {case["name"]: case["schema"] for case in vectors("grammar_schemas")}


def compiled(schema: Any, **options: Any) -> lw.Grammar:
    return lw.Grammar.json_schema(VOCAB, schema if isinstance(schema, str) else json.dumps(schema), **options)


def is_valid(judge: Any, text: str | bytes) -> bool | None:
    try:
        return bool(judge(text))
    except UnknownError:
        return None


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_sampled_is_valid(name: str) -> None:
    rng, schema = random.Random(name), SCHEMAS[name]
    judge, done = validator(json.dumps(schema)), 0
    instances = Instances(loads(json.dumps(schema)), rng)
    for options in ({}, {"spelling": "canonical"}, {"property_order": "schema"}):
        grammar = compiled(schema, **options)
        for _ in range(16):
            # Names that are required are seldom sampled: half of the walks begin as an instance does.
            begun = next(respelled(instances.draw(), rng)).encode()
            begun = begun[: rng.randrange(len(begun) + 1)]
            is_begun = rng.random() < 0.5 and bool(begun) and grammar.matcher().accept_bytes(begun)
            text = walk(grammar, rng, prefix=begun if is_begun else b"")
            if text is not None:
                done += 1
                assert is_valid(judge, text) is not False, (name, text)
                assert reads(grammar, text), (name, text)
    assert done


def test_what_is_sampled_from_the_suite_is_valid() -> None:
    rng, n_compiled, done = random.Random(5), 0, 0
    for group in vectors("json_schema_suite"):
        if group["file"] in ("format", "vocabulary") or not isinstance(group["schema"], dict):
            continue
        try:
            grammar = compiled(group["schema"])
        except (errors.SchemaError, errors.LimitError):
            continue
        n_compiled += 1
        judge = validator(json.dumps(group["schema"]))
        for _ in range(3):
            text = walk(grammar, rng, length=40)
            if text is not None:
                done += 1
                assert is_valid(judge, text) is not False, (group["file"], group["description"], text)
    assert n_compiled > 200
    assert done > n_compiled


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_instance_is_read_in_every_spelling(name: str) -> None:
    rng = random.Random(name)
    text = json.dumps(SCHEMAS[name])
    judge, grammar, instances = validator(text), compiled(text), Instances(loads(text), rng)
    n_valid = 0
    for _ in range(60):
        value = instances.draw()
        for spelled in respelled(value, rng):
            expected = is_valid(judge, spelled)
            if expected is None:
                continue
            n_valid += expected
            assert reads(grammar, spelled.encode()) == expected, (name, spelled)
    assert n_valid or SCHEMAS[name] == {"pattern": "never"}, name


@pytest.mark.parametrize("name", SCHEMAS)
def test_however_it_is_cut(name: str) -> None:
    rng = random.Random(name)
    text = json.dumps(SCHEMAS[name])
    judge, grammar, instances = validator(text), compiled(text), Instances(loads(text), rng)
    for _ in range(4):
        spelled = next(respelled(instances.draw(), rng))
        expected = is_valid(judge, spelled)
        if expected is not None and len(spelled) < 200:
            check_sequence(grammar, spelled.encode(), expected, rng)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_bit_is_a_walk_of_bytes_and_a_cached_mask_a_fresh_one(name: str) -> None:
    """At every step of a walk, in a grammar that has learned much and in one that has learned nothing."""
    rng = random.Random(name)
    grammar = compiled(SCHEMAS[name])
    steps: list[int] = []

    def every(matcher: Any) -> NDArray[np.bool_]:
        mask = bits(matcher)
        if rng.random() < 0.15:
            steps.append(1)
            assert (check_mask(matcher) == mask).all()
        return mask

    texts = [text for _ in range(4) if (text := walk(grammar, rng, every=every, length=30)) is not None]
    for text in texts[:2]:
        fresh, cut = compiled(SCHEMAS[name]), pieces(text, rng)
        learned, new = grammar.matcher(), fresh.matcher()
        for token_id in [*cut, END]:
            assert (bits(learned) == bits(new)).all(), (name, text)
            assert learned.accept(token_id)
            assert new.accept(token_id)
        assert learned.is_terminated()
        assert not bits(learned).any()


def closed(schema: dict[str, Any], values: list[Any]) -> Finite:
    """All compact texts of the values that are valid, with keys in any order."""
    judge = validator(json.dumps(schema))

    def orders(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for keys in itertools.permutations(value):
                members = [
                    [f"{json.dumps(key, ensure_ascii=False)}:{text}" for text in orders(value[key])] for key in keys
                ]
                yield from ("{" + ",".join(row) + "}" for row in itertools.product(*members))
        elif isinstance(value, list):
            yield from ("[" + ",".join(row) + "]" for row in itertools.product(*map(orders, value)))
        else:
            yield json.dumps(value, ensure_ascii=False)

    return Finite(VOCAB, [text for value in values for text in orders(value) if judge(text)])


def subsets(choices: dict[str, list[Any]]) -> list[Any]:
    """Every object of some of these keys."""
    rows = itertools.product(*([(), *((key, value) for value in values)] for key, values in choices.items()))
    return [dict(pair for pair in row if pair) for row in rows]


FINITE: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "integers": ({"type": "integer", "minimum": -12, "maximum": 130}, list(range(-200, 200))),
    "multiples": ({"type": "integer", "minimum": 0, "maximum": 1500, "multipleOf": 35}, list(range(2000))),
    "mixed enum": ({"enum": ["ab", "abc", "aé", "a\n", 1, 12, None, True, ["a", 1], {"a": 1}]},
                   ["ab", "abc", "aé", "a\n", 1, 12, None, True, ["a", 1], {"a": 1}, "a", 121]),
    "pattern": ({"type": "string", "pattern": "^(ab|a|é){1,3}$", "maxLength": 4},
                ["".join(row) for n in range(6) for row in itertools.product("abé", repeat=n)]),
    "lengths": ({"type": "array", "items": {"enum": [0, 10, "aa"]}, "minItems": 1, "maxItems": 3},
                [list(row) for n in range(5) for row in itertools.product([0, 10, "aa", 1], repeat=n)]),
    "prefix": ({"prefixItems": [{"const": 1}, {"type": "boolean"}], "items": {"const": None},
                "maxItems": 3, "type": "array"},
               [list(row) for n in range(5) for row in itertools.product([1, True, False, None], repeat=n)]),
    "optional keys": ({"type": "object", "additionalProperties": False, "required": ["b"],
                       "properties": {"a": {"enum": [1, 10]}, "ab": {"const": None}, "b": {"type": "boolean"}}},
                      subsets({"a": [1, 10, 2], "ab": [None], "b": [True, False], "c": [1]})),
    "counted keys": ({"type": "object", "additionalProperties": {"const": 1}, "minProperties": 1, "maxProperties": 2,
                      "propertyNames": {"enum": ["a", "aa", "é"]}},
                     subsets({"a": [1, 2], "aa": [1], "é": [1], "b": [1]})),
    "patterned keys": ({"type": "object", "patternProperties": {"^a": {"enum": [1, 2]}, "a$": {"enum": [2, 3]}},
                        "additionalProperties": False, "propertyNames": {"maxLength": 2, "pattern": "^[ab]*$"}},
                       subsets({"a": [1, 2, 3], "ab": [1, 2], "ba": [2, 3], "b": [1], "aa": [2]})),
    "alternatives": ({"anyOf": [
        {"type": "object", "properties": {"k": {"const": "x"}, "v": {"enum": [1, 2]}}, "required": ["k", "v"],
         "additionalProperties": False},
        {"type": "object", "properties": {"k": {"const": "xy"}, "w": {"enum": [1]}}, "required": ["k"],
         "additionalProperties": False}, {"enum": ["x", [1]]}]},
        [*subsets({"k": ["x", "xy"], "v": [1, 2], "w": [1]}), "x", [1], "xy"]),
    "lists of lists": ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/b"},
                        "maxItems": 2}, "b": {"type": "array", "items": {"const": 1}, "maxItems": 1}}},
                       [[], [[]], [[1]], [[], []], [[1], []], [[], [1]], [[1], [1]], [[1, 1]], [[], [], []], [1]]),
}  # fmt: skip


@pytest.mark.parametrize("name", FINITE)
def test_masks_are_those_of_the_texts(name: str) -> None:
    schema, values = FINITE[name]
    oracle = closed(schema, values)
    grammar = compiled(schema, spelling="canonical", whitespace="compact")
    assert len(oracle.texts) > 3
    assert all(reads(grammar, text) for text in oracle.texts)
    rng = random.Random(name)
    for _ in range(12):
        ours, theirs = grammar.matcher(), oracle.matcher()
        cut = pieces(rng.choice(oracle.texts), rng)
        for token_id in [*cut, END]:
            expected = bits(theirs)
            got = bits(ours)
            assert (got == expected).all(), (name, theirs.text, np.flatnonzero(got != expected))
            assert ours.accept(token_id)
            assert theirs.accept(token_id)
    for text in {walk(grammar, rng) for _ in range(20)} - {None}:
        assert text in oracle.texts


@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_is_its_rows(threads: int) -> None:
    rng = random.Random(threads)
    matchers, expected = [], []
    for schema in SCHEMAS.values():
        matcher = compiled(schema).matcher()
        for _ in range(rng.randrange(8)):
            allowed = np.flatnonzero(bits(matcher))
            if not len(allowed) or not matcher.accept(int(rng.choice(list(allowed)))):
                break
        matchers.append(matcher)
        expected.append(bits(matcher.fork()))
    mask = np.full((len(matchers), (len(VOCAB) + 31) // 32), -1, np.int32)
    lw.fill_masks(matchers, mask, threads=threads)
    got = np.unpackbits(mask.view(np.uint8), axis=1, bitorder="little")[:, : len(VOCAB)].astype(bool)
    assert (got == np.array(expected)).all()


MASKBENCH = os.environ.get("LOGITWIRE_MASKBENCH")


@pytest.mark.skipif(MASKBENCH is None, reason="LOGITWIRE_MASKBENCH names no folder of MaskBench cases")
def test_maskbench() -> None:
    """Every instance as its case says, and walks that the validator takes."""
    rng, wrong, n_compiled = random.Random(0), [], 0
    for path in sorted(Path(str(MASKBENCH)).glob("*.json")):
        case = json.loads(path.read_text("utf-8"))
        try:
            grammar = compiled(case["schema"])
        except (errors.SchemaError, errors.LimitError):
            continue
        n_compiled += 1
        for test in case["tests"]:
            if reads(grammar, json.dumps(test["data"], ensure_ascii=False).encode("utf-8", "replace")) != test["valid"]:
                wrong.append((path.name, test["description"], test["valid"]))
        text = walk(grammar, rng)
        if text is not None and is_valid(validator(json.dumps(case["schema"])), text) is False:
            wrong.append((path.name, "walk", text[:200]))
    assert n_compiled
    assert not wrong


class Wrong(FiniteMatcher):
    """A matcher with one fault."""

    fault = ""

    def allows(self, token_id: int) -> bool:
        allowed = super().allows(token_id)
        match self.fault:
            case "a token too many":
                return allowed or (token_id == ord("z") and self.text == b"a")
            case "a token too few":
                return allowed and token_id != TOKEN_OF_TWO
            case "an end too early":
                return allowed or (token_id == END and not self.ended and self.text == b"a")
        return allowed

    def fork(self) -> Wrong:
        made = WRONG[self.fault](self.grammar, self.pieces, self.ended)
        if self.fault == "a fork that forgets":
            made.pieces = made.pieces[:-1]
        return made

    def rollback(self, n: int = 1) -> None:
        super().rollback(n + 1 if self.fault == "a rollback too far" else n)


FAULTS = ["a token too many", "a token too few", "an end too early", "a fork that forgets", "a rollback too far"]
WRONG = {fault: type("Wrong", (Wrong,), {"fault": fault}) for fault in ["", *FAULTS]}
TOKEN_OF_TWO = next(t for t in range(256, END) if not VOCAB.is_special(t) and VOCAB.token_bytes(t) == b"ab")


class WrongGrammar(Finite):
    def __init__(self, fault: str) -> None:
        super().__init__(VOCAB, ["ab", "abab", "abc", "éa", "aaé"])
        self.fault = fault

    def matcher(self) -> FiniteMatcher:
        return WRONG[self.fault](self)  # type: ignore[no-any-return]


def check_all(grammar: Finite) -> None:
    rng = random.Random(0)
    for text, is_read in [("ab", True), ("abab", True), ("aba", False), ("éa", True), ("x", False), ("a", False)] * 4:
        assert reads(grammar, text.encode()) == is_read
        check_sequence(grammar, text.encode(), is_read, rng)
    for _ in range(8):
        text = walk(grammar, rng, every=check_mask)
        assert text in grammar.texts


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(fault: str) -> None:
    check_all(WrongGrammar(""))
    with pytest.raises(AssertionError):
        check_all(WrongGrammar(fault))

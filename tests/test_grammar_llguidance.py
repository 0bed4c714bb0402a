"""Our masks beside llguidance's: equal on random grammars of what both read alike, and where they differ, for a reason
that stands in `vectors/grammar_differences.json`, with exactly the tokens that do.
"""

from __future__ import annotations

import random
from typing import Any, Literal

import numpy as np
import pytest
from conftest import vectors
from grammar_support import END, TOKENS, VOCAB, bits
from numpy.typing import NDArray

import logitwire as lw
from logitwire import errors

pytest.importorskip("llguidance", reason="llguidance is not installed")

from peers.llguidance import RefusedError, Theirs

DIFFERENCES = {case["name"]: case for case in vectors("grammar_differences")}


def ours(kind: str, source: Any, spelling: Literal["any", "canonical"] = "canonical") -> lw.Grammar:
    if kind == "regex":
        return lw.Grammar.regex(VOCAB, source)
    return lw.Grammar.json_schema(VOCAB, source, property_order="schema", whitespace="compact", spelling=spelling)


def spelled(allowed: Any) -> list[str]:
    return sorted((TOKENS[token_id] or b"").decode("latin-1") for token_id in np.flatnonzero(allowed))


def without(bytes_: bytes) -> NDArray[np.bool_]:
    return np.array([token is not None and not set(bytes_) & set(token) for token in TOKENS])


# Of what else may stand anywhere in a string, or a number, the table says how it differs.
IN_STRINGS, IN_NUMBERS = without(b"\\\x7f"), without(b"eE")


def walk_beside(
    grammar: lw.Grammar, theirs: Theirs, source: Any, rng: random.Random, compared: NDArray[np.bool_]
) -> int:
    """A walk over tokens that both allow, its masks compared at each step; how many."""
    matcher = grammar.matcher()
    text = b""
    for step in range(40):
        mine, other = bits(matcher) & compared, theirs.bits() & compared
        if forced := theirs.forced():
            # The library then masks to one token; ours are all that begin so.
            begin = np.array([bool(token) and forced.startswith(token or b"") for token in TOKENS]) & compared
            go_on = np.array([(token or b"").startswith(forced) for token in TOKENS])
            assert not (begin & ~mine).any(), (source, text, forced, spelled(begin & ~mine))
            assert not (mine & ~begin & ~go_on).any(), (source, text, forced, spelled(mine & ~begin & ~go_on))
            mine = begin
        else:
            assert (mine == other).all(), (source, text, spelled(mine & ~other), spelled(other & ~mine))
        allowed = np.flatnonzero(mine)
        token_id = int(rng.choice(list(allowed)))
        if not len(allowed) or token_id == END:
            return step + 1
        assert matcher.accept(token_id)
        assert theirs.accept(token_id), (source, text)
        text += TOKENS[token_id] or b""
    return 40


def pattern(rng: random.Random, depth: int) -> str:
    if depth == 0:
        return rng.choice(
            [
                "a",
                "b",
                "ab",
                "foo",
                "[ab]",
                "[a-z]",
                "[^a]",
                ".",
                r"\d",
                r"\w",
                r"\s",
                "é",
                "日本",
                "[日é😀]",
                " ",
                "-",
                "12",
            ]
        )
    match rng.randrange(6):
        case 0 | 1:
            return "".join(pattern(rng, depth - 1) for _ in range(rng.randint(1, 3)))
        case 2 | 3:
            return f"(?:{'|'.join(pattern(rng, depth - 1) for _ in range(rng.randint(2, 4)))})"
        case _:
            low = rng.randint(0, 3)
            count = rng.choice(["*", "+", "?", f"{{{low}}}", f"{{{low},}}", f"{{{low},{low + rng.randint(0, 40)}}}"])
            return f"(?:{pattern(rng, depth - 1)}){count}"


def schema(rng: random.Random, depth: int) -> dict[str, Any]:
    kind = rng.randrange(11 if depth else 7)
    low = rng.randint(0, 4)
    match kind:
        case 0:
            return {"type": rng.choice(["null", "boolean"])}
        case 1:
            return {"type": "integer", "minimum": low, "maximum": low + rng.choice([0, 3, 17, 200, 12345])}
        case 2:
            return {"const": rng.choice([0, 7, "", "a b", "日本", [1, "a"], {"a": None}])}
        case 3:
            return {"type": "string", "minLength": low, "maxLength": low + rng.choice([0, 1, 5, 40])}
        case 4:
            # Of what the two dialects read alike.
            alike = pattern(rng, 2).replace(".", "[^q]").replace(r"\s", " ")
            return {"type": "string", "pattern": f"^(?:{alike})$"}
        case 5:
            return {"enum": rng.sample(["a", "ab", "foo", "foobar", "é", "日本", 1, 12, 123, None, True, ["a"]], 4)}
        case 6:
            return {"type": "string"}
        case 7:
            return {"type": "array", "items": schema(rng, depth - 1), "minItems": low, "maxItems": low + 2}
        case 8:
            items = [schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]
            return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
        case 9:
            names = rng.sample(["a", "ab", "foo", "bar", "é", "10"], rng.randint(1, 4))
            return {
                "type": "object",
                "properties": {name: schema(rng, depth - 1) for name in names},
                "required": [name for name in names if rng.random() < 0.5],
                "additionalProperties": False,
            }
        case _:
            return {"anyOf": [schema(rng, depth - 1) for _ in range(rng.randint(2, 3))]}


@pytest.mark.parametrize("seed", range(4))
def test_masks_of_random_regexes_are_equal(seed: int) -> None:
    rng, n_compared = random.Random(seed), 0
    for _ in range(100):
        source = pattern(rng, 3)
        for _ in range(2):
            n_compared += walk_beside(ours("regex", source), Theirs("regex", source), source, rng, IN_STRINGS)
    assert n_compared > 1500


@pytest.mark.parametrize("seed", range(4))
def test_masks_of_random_schemas_are_equal(seed: int) -> None:
    rng, n_compared = random.Random(seed), 0
    for _ in range(60):
        source = schema(rng, 2)
        try:
            Theirs("schema", source)
        except RefusedError:
            continue
        for _ in range(2):
            n_compared += walk_beside(ours("schema", source), Theirs("schema", source), source, rng, IN_STRINGS)
    assert n_compared > 1000


def test_masks_of_random_ranges_are_equal() -> None:
    rng, n_compared = random.Random(0), 0
    for _ in range(150):
        low, high = sorted(
            rng.choice([1, 10, 1000]) * rng.randint(-999, 999) / rng.choice([1, 8, 100]) for _ in range(2)
        )
        source = {"type": "number", rng.choice(["minimum", "exclusiveMinimum"]): low, "maximum": high}
        if low < high:
            n_compared += walk_beside(ours("schema", source, "any"), Theirs("schema", source), source, rng, IN_NUMBERS)
    assert n_compared > 600


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_difference_is_as_the_table_says(name: str) -> None:
    case = DIFFERENCES[name]
    kind, source, refused = case["kind"], case["source"], case.get("refused", [])
    if "ours" in refused:
        with pytest.raises((errors.GrammarError, errors.SchemaError, errors.LimitError)):
            ours(kind, source)
    if "theirs" in refused:
        with pytest.raises(RefusedError):
            Theirs(kind, source)
    if refused:
        return
    matcher, theirs = ours(kind, source).matcher(), Theirs(kind, source)
    for byte in case["after"].encode():
        assert matcher.accept(byte)
        assert theirs.accept(byte)
    mine, other = bits(matcher), theirs.bits()
    assert spelled(mine & ~other) == case["only_ours"]
    assert spelled(other & ~mine) == case["only_theirs"]
    assert case["because"].startswith("differs because ")

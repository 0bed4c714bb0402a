"""Numbers in a range, of multiples, and equal to some, against Python's decimals."""

from __future__ import annotations

import decimal
import json
from decimal import Decimal
from fractions import Fraction

import pytest
from grammar_support import VOCAB, check_mask, reads
from hypothesis import given
from hypothesis import strategies as st

import logitwire as lw
from logitwire import errors

pytestmark = pytest.mark.skipif(not hasattr(lw.Grammar, "json_schema"), reason="schemas are not compiled yet")

BOUNDS = ["0", "1", "-1", "5", "10", "-10", "99.5", "100", "-0.5", "0.001", "-12.05", "1e2", "12e-1", "123456789012345"]
MULTIPLES = ["1", "2", "3", "7", "10", "64", "0.5", "0.01", "1.5", "3e-2", "1000000"]

numbers = st.builds(
    lambda sign, whole, fraction, exponent: f"{sign}{whole}{fraction}{exponent}",
    st.sampled_from(["", "-"]),
    st.one_of(st.integers(0, 130), st.sampled_from([999, 1000, 1001, 2000000, 123456789012344, 123456789012346])),
    st.sampled_from(["", ".0", ".00", ".5", ".50", ".05", ".25", ".001", ".999", ".01"]),
    st.sampled_from(["", "", "", "", "e0", "E+0", "e1", "e-1", "e2", "E-02"]),
)
schemas = st.fixed_dictionaries(
    {"type": st.sampled_from(["number", "integer"])},
    optional={
        "minimum": st.sampled_from(BOUNDS),
        "maximum": st.sampled_from(BOUNDS),
        "exclusiveMinimum": st.sampled_from(BOUNDS),
        "exclusiveMaximum": st.sampled_from(BOUNDS),
        "multipleOf": st.sampled_from(MULTIPLES),
    },
)


def written(schema: dict[str, str]) -> str:
    """With the numbers as they are spelled."""
    return "{" + ",".join(f'"{k}":{json.dumps(v) if k == "type" else v}' for k, v in schema.items()) + "}"


def is_meant(schema: dict[str, str], text: str) -> bool:
    value = Fraction(Decimal(text))
    tests = {
        "minimum": lambda bound: value >= bound,
        "maximum": lambda bound: value <= bound,
        "exclusiveMinimum": lambda bound: value > bound,
        "exclusiveMaximum": lambda bound: value < bound,
        "multipleOf": lambda of: value % of == 0,
    }
    is_of_type = schema["type"] == "number" or value.denominator == 1
    return is_of_type and all(tests[k](Fraction(Decimal(v))) for k, v in schema.items() if k != "type")


@given(schemas, st.lists(numbers, min_size=30, max_size=60))
def test_a_number_is_read_if_it_is_meant(schema: dict[str, str], texts: list[str]) -> None:
    try:
        grammar = lw.Grammar.json_schema(VOCAB, written(schema))
    except errors.SchemaError:
        assert not any(is_meant(schema, text) for text in texts), schema
        return
    usual = lw.Grammar.json_schema(VOCAB, written(schema), spelling="canonical")
    for text in texts:
        is_read, meant = reads(grammar, text.encode()), is_meant(schema, text)
        assert meant or not is_read, (schema, text)
        # Exponents are read where the range is free.
        assert is_read or not meant or "e" in text.lower(), (schema, text)
        plain = format(Decimal(text).normalize(decimal.Context(prec=60)) + 0, "f")
        assert reads(usual, text.encode()) == (meant and text == plain), (schema, text, plain)


@pytest.mark.parametrize(
    "value", ["0", "-0", "1", "1.50", "100", "1e2", "-0.001", "1e300", "-2.5e-320", "12345678901234567890"]
)
def test_every_spelling_of_one_number(value: str) -> None:
    for keyword in (f'{{"const":{value}}}', f'{{"enum":["a",{value}]}}'):
        grammar = lw.Grammar.json_schema(VOCAB, keyword)
        exact = Decimal(value)
        plain = format(exact, "f")
        with_zeros = f"{plain}000" if "." in plain else f"{plain}.000"
        for text in (plain, with_zeros, f"{exact:e}", "1", "-1", "0", "-0", "0.0", "100.0", "1.5", "1e2", "1e1"):
            assert reads(grammar, text.encode()) == (Decimal(text) == exact), (value, text)


def test_numbers_too_large_are_read_exactly() -> None:
    """2^53 + 1 is no float."""
    grammar = lw.Grammar.json_schema(VOCAB, '{"type":"integer","minimum":9007199254740993,"maximum":9007199254740993}')
    assert reads(grammar, b"9007199254740993")
    assert not reads(grammar, b"9007199254740992")
    assert reads(lw.Grammar.json_schema(VOCAB, '{"const":0.1}'), b"0.1")
    assert not reads(lw.Grammar.json_schema(VOCAB, '{"const":0.1}'), b"0.1000000000000000055511151231257827")


@pytest.mark.parametrize(
    "schema",
    [
        '{"type":"integer","multipleOf":1e300}',
        '{"type":"integer","multipleOf":999999999989}',
        '{"type":"number","minimum":1e9999}',
        '{"type":"number","maximum":-1e-99999999999999999999}',
    ],
)
def test_what_is_too_much_is_an_error(schema: str) -> None:
    with pytest.raises((errors.LimitError, errors.SchemaError)):
        lw.Grammar.json_schema(VOCAB, schema)


def test_masks_of_numbers() -> None:
    for schema in (
        '{"type":"number"}',
        '{"type":"integer","minimum":-20,"maximum":130}',
        '{"type":"number","multipleOf":0.05}',
    ):
        grammar = lw.Grammar.json_schema(VOCAB, schema)
        for text in ("", "-", "1", "12", "0", "0.", "0.0", "0.05", "-0"):
            matcher = grammar.matcher()
            if not text or matcher.accept_bytes(text.encode()):
                check_mask(matcher)

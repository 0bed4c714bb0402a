"""Formats against judges that share nothing with the engine's: the standard library, and readers written by hand."""

from __future__ import annotations

import datetime
import json
import random

import pytest
from conftest import vectors
from grammar_support import VOCAB, reads
from reference.format import JUDGES

import logitwire as lw

pytestmark = pytest.mark.skipif(not hasattr(lw.Grammar, "json_schema"), reason="schemas are not compiled yet")

SUITE = {
    name: [
        test["data"]
        for group in vectors("json_schema_suite")
        if group["file"] == f"optional/format/{name}"
        for test in group["tests"]
        if isinstance(test["data"], str)
    ]
    for name in JUDGES
}
SIGNS = "0123456789abcdefABCDEFzZtTPYMDHSW:.-+/~@[]%{}*,#?&=!$()'\"\\ _xvé\U0001f600\ue000\x7f٠"


def compiled(name: str, **beside: int) -> lw.Grammar:
    return lw.Grammar.json_schema(VOCAB, json.dumps({"type": "string", "format": name} | beside))


def is_read(grammar: lw.Grammar, text: str) -> bool:
    return reads(grammar, json.dumps(text, ensure_ascii=False).encode())


def mutated(text: str, others: list[str], rng: random.Random) -> str:
    signs = list(text)
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(signs) + 1)
        match rng.randrange(4):
            case 0:
                signs.insert(at, rng.choice(SIGNS))
            case 1:
                del signs[at : at + 1]
            case 2:
                signs[at : at + 1] = rng.choice(SIGNS)
            case _:
                other = rng.choice(others)
                signs[at:] = other[rng.randrange(len(other) + 1) :]
    return "".join(signs)


@pytest.mark.parametrize("name", JUDGES)
def test_a_text_is_read_if_it_has_the_format(name: str) -> None:
    grammar, rng, counts = compiled(name), random.Random(name), [0, 0]
    for i in range(4000):
        text = SUITE[name][i] if i < len(SUITE[name]) else mutated(rng.choice(SUITE[name]), SUITE[name], rng)
        expected = JUDGES[name](text)
        counts[expected] += 1
        assert is_read(grammar, text) == expected, (name, text)
    assert min(counts) > 100


def test_the_calendar() -> None:
    grammar = compiled("date")
    for year in range(0, 10_000, 1):
        for month, day in ((2, 28), (2, 29), (2, 30)):
            is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
            assert is_read(grammar, f"{year:04}-{month:02}-{day:02}") == (day <= 28 + is_leap)
    for month in range(14):
        for day in range(33):
            try:
                datetime.date(2023, month, day)
                is_day = True
            except ValueError:
                is_day = False
            assert is_read(grammar, f"2023-{month:02}-{day:02}") == is_day


def test_a_leap_second_is_one_in_utc() -> None:
    grammar = compiled("time")
    rng = random.Random(0)
    for minutes in range(1440):
        for sign in (1, -1):
            offsets = {rng.randrange(1440) for _ in range(4)} | {(sign * (minutes - 1439)) % 1440}
            for offset in offsets:
                zone = f"{'+' if sign > 0 else '-'}{offset // 60:02}:{offset % 60:02}"
                is_leap = (minutes - sign * offset) % 1440 == 1439
                assert is_read(grammar, f"{minutes // 60:02}:{minutes % 60:02}:60{zone}") == is_leap


def test_beside_a_length() -> None:
    grammar = compiled("date-time", maxLength=22, minLength=21)
    assert is_read(grammar, "2024-02-29T12:00:00.5Z")
    assert not is_read(grammar, "2024-02-29T12:00:00Z")
    assert not is_read(grammar, "2024-02-29T12:00:00.55Z")
    host = compiled("hostname")
    label = "a" * 61
    assert is_read(host, ".".join([label] * 4))
    assert not is_read(host, ".".join([label] * 4) + ".abcdef")


def test_what_is_no_format_here_is_noted() -> None:
    for name in ("regex", "idn-hostname", "color", ""):
        grammar = compiled(name)
        assert all(is_read(grammar, text) for text in ("(", "\n", ""))
        assert [(note.pointer, note.keyword) for note in grammar.relaxed] == [("#", "format")]
    assert compiled("uuid").relaxed == []
    assert [note.keyword for note in compiled("hostname").relaxed] == ["format"]

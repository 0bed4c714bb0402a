"""Regular expressions in the dialect of `Grammar.regex`: what each case of `vectors/regex.json` says is read, however
it is cut into tokens, and what no automaton can do is refused with its place. None may be lost.
"""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from conftest import vectors
from grammar_support import VOCAB, check_mask, check_sequence, walk

import logitwire as lw
from logitwire import errors

CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in vectors("regex")}
COMPILED = [name for name, case in CASES.items() if "refused_at" not in case]
# Whose `\p` Python's own engine does not know.
NOT_PYTHONS = {"letters", "not letters", "script"}


def test_no_case_is_lost() -> None:
    assert len(COMPILED) >= 62


@pytest.mark.parametrize("name", COMPILED)
def test_the_table_is_right(name: str) -> None:
    if name in NOT_PYTHONS:
        pytest.skip("Python's own engine does not know \\p")
    pattern = re.compile(CASES[name]["pattern"])
    assert all(pattern.fullmatch(text) for text in CASES[name]["matches"])
    assert not any(pattern.fullmatch(text) for text in CASES[name]["refuses"])


@pytest.mark.parametrize("name", COMPILED)
def test_a_text_is_read_however_it_is_cut(name: str) -> None:
    rng, case = random.Random(name), CASES[name]
    grammar = lw.Grammar.regex(VOCAB, case["pattern"])
    for is_read, texts in ((True, case["matches"]), (False, case["refuses"])):
        for text in texts:
            check_sequence(grammar, text.encode(), is_read, rng)


@pytest.mark.parametrize("name", COMPILED)
def test_what_is_sampled_matches(name: str) -> None:
    rng, case = random.Random(name), CASES[name]
    grammar = lw.Grammar.regex(VOCAB, case["pattern"])
    steps: list[int] = []

    def every(matcher: Any) -> Any:
        steps.append(0)
        return check_mask(matcher)

    done = [text for _ in range(4) if (text := walk(grammar, rng, length=12, every=every)) is not None]
    assert steps
    if name not in NOT_PYTHONS:
        assert all(re.fullmatch(case["pattern"], text.decode()) for text in done)


@pytest.mark.parametrize("name", [name for name in CASES if name not in COMPILED])
def test_what_is_refused_is_named_with_its_place(name: str) -> None:
    with pytest.raises(errors.GrammarError) as caught:
        lw.Grammar.regex(VOCAB, CASES[name]["pattern"])
    assert caught.value.position == CASES[name]["refused_at"]

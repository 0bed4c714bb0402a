"""What others died of ends in a clean error or in right masks, within the limits, on a small stack."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_grammars import hostile

import logitwire as lw
from logitwire import errors

pytestmark = pytest.mark.skipif(not hasattr(lw.Grammar, "json_schema"), reason="schemas are not compiled yet")

HOSTILE = {f"{kind}: {name}": (kind, source) for kind, name, source in hostile()}
# What has no text, or is no grammar at all, whatever the engine can do.
NEVER = {
    "regex: double star", "regex: unclosed class", "regex: backreference", "regex: look-ahead", "regex: reversed range",
    "schema: unknown type", "schema: type is a number", "schema: a number", "schema: no text", "schema: broken pattern",
    "schema: self", "schema: circle", "schema: dangling", "schema: remote", "schema: allOf self", "schema: false",
    "schema: minimum above maximum",
}  # fmt: skip
# What every engine should do.
ALWAYS = {
    "regex: leading NUL", "regex: middle NUL", "regex: nested quantifier", "regex: subset blow-up", "regex: a million",
    "regex: nested counts", "regex: counted letters", "regex: 100,000 alternatives",
    "schema: pattern of NUL", "schema: maxLength of a billion", "schema: minItems of ten million",
    "schema: enum of 100,000", "schema: 20,000 properties", "schema: 200 optional", "schema: 60 by 60 anyOf",
    "schema: bounds of 300 digits", "schema: pattern and maxLength", "schema: anyOf that doubles 12 times",
}  # fmt: skip


def outcome(kind: str, source: str) -> str:
    """Compile, then up to 40 tokens, always the least that is allowed."""
    from grammar_support import END, VOCAB, bits

    make = lw.Grammar.regex if kind == "regex" else lw.Grammar.json_schema
    try:
        grammar = make(VOCAB, source)
    except (errors.GrammarError, errors.SchemaError, errors.LimitError) as error:
        return type(error).__name__
    matcher = grammar.matcher()
    try:
        for _ in range(40):
            allowed = np.flatnonzero(bits(matcher))
            assert len(allowed), "a dead end"
            token_id = int(allowed[0])
            assert matcher.accept(token_id)
            if token_id == END:
                break
    except errors.LimitError:
        return "late LimitError"
    assert grammar.memory_bytes <= lw.limits()["grammar_memory_bytes"] * 5 // 4
    return "grammar"


def on_a_small_stack(call: Any) -> Any:
    found: list[Any] = []
    threading.stack_size(256 << 10)
    try:
        thread = threading.Thread(target=lambda: found.append(call()))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(0)
    return found[0]


def main() -> None:
    """One input, in a process of its own whose memory is bounded."""
    import resource

    kind, source = HOSTILE[sys.argv[1]]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            [
                on_a_small_stack(lambda: outcome(kind, source)),
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before,
            ]
        )
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_an_error_or_a_right_mask(name: str) -> None:
    command = [sys.executable, __file__, name]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60, cwd=Path(__file__).parent)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    what, kilobytes = json.loads(done.stdout)
    assert (what == "grammar") >= (name in ALWAYS), what
    assert (what == "grammar") <= (name not in NEVER), what
    # What it may hold, what compiling takes beside it for a moment, and what the interpreter did meanwhile.
    assert kilobytes < 256 << 10


if __name__ == "__main__":
    main()

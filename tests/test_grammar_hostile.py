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
    "schema: minimum above maximum", "schema: half a surrogate pair",
}  # fmt: skip
# What the limits refuse, and what a mask may be too much for, of a vocabulary with long enough tokens.
LIMITED = {
    "regex: 20,000 groups", "regex: 1 MB of text", "regex: 0.6 MB of letters", "schema: 5,000 nested arrays",
    "schema: 100,000 nested arrays", "schema: 200 patternProperties that overlap", "schema: primes",
}  # fmt: skip
LATE = {"regex: ten looks ahead", "regex: 20 loops in loops", "schema: 30 patterns at once"}


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

    import grammar_support  # noqa: F401

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
    if name in NEVER:
        assert what in {"GrammarError", "SchemaError"}
    elif name in LATE:
        assert what in {"grammar", "late LimitError"}
    else:
        assert what == ("LimitError" if name in LIMITED else "grammar")
    # What compiling takes beside what it may hold, for a moment.
    assert kilobytes < 96 << 10


if __name__ == "__main__":
    main()

"""How the time of a token grows with the tokens before it, on two inputs that never let a window of text close: lone
bytes, and a special token that is skipped, each again and again. A plot and a table.

    python benches/growth.py --out FOLDER

Every library of `libraries/detokenize.py` is run; one whose stream has taken a few seconds is not asked for more.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from curves import write
from libraries import released
from libraries.detokenize import LIBRARIES, Begin
from vocabulary import VOCABULARIES

VOCABULARY = VOCABULARIES["gpt-2"]
LENGTHS = [250 << i for i in range(10)]
PATIENCE_S = 2.0
INPUTS = {
    "lone bytes 0x80": VOCABULARY.byte_id(0x80),
    "a skipped special token": VOCABULARY.library.token_to_id(VOCABULARY.special_tokens[0]),
}


def us_each(begin: Begin, token_id: int, n: int) -> float:
    """The best of two streams of n tokens, set-up apart."""
    best = float("inf")
    for _ in range(2):
        step = begin().step
        start = time.perf_counter()
        for _ in range(n):
            step(token_id)
        best = min(best, time.perf_counter() - start)
    return best / n * 1e6


def measure() -> dict[str, dict[str, dict[int, float]]]:
    """Input, library, length: microseconds a token."""
    found: dict[str, dict[str, dict[int, float]]] = {name: {} for name in INPUTS}
    for library, load in LIBRARIES.items():
        if library == "logitwire, hf":  # there are no tokens that stand for bytes
            continue
        try:
            begin = load(VOCABULARY)
        except Exception as error:
            print(f"{library}: skipped: {error}", file=sys.stderr)
            continue
        for name, token_id in INPUTS.items():
            assert token_id is not None
            times = found[name][f"{library} {released(library)}".rstrip()] = {}
            for n in LENGTHS:
                times[n] = us_each(begin, token_id, n)
                if times[n] * n > PATIENCE_S * 1e6 / 4:  # quadratic, the next takes four times that
                    break
    return found


if __name__ == "__main__":
    write(
        measure, __doc__, "growth", each="us a token", of="tokens", x="tokens in the stream", y="microseconds a token"
    )

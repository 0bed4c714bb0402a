"""How the time of a byte grows with the bytes before it: an event of one long line, and one of many `data` lines, both
in chunks of 1 KiB. A plot and a table.

    python benches/growth_sse.py --out FOLDER

Every reader of `libraries/sse.py` is run; one that has taken a few seconds is not asked for more.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from curves import write
from libraries import released
from libraries.sse import READERS, Read

CHUNK = 1024
LENGTHS = [16_384 << i for i in range(9)]
PATIENCE_S = 2.0


def one_line(n_bytes: int) -> bytes:
    """Of readers with a bound on a line the figures end there."""
    return b"data: " + b"x" * (n_bytes - 8) + b"\n\n"


def many_lines(n_bytes: int) -> bytes:
    return b"data: 123456789\n" * (n_bytes // 16) + b"\n"


INPUTS: dict[str, Callable[[int], bytes]] = {"one line": one_line, "many lines": many_lines}


def ns_each(read: Read, stream: bytes) -> float:
    """The best of three readings, a byte."""
    chunks = [stream[i : i + CHUNK] for i in range(0, len(stream), CHUNK)]
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        read(chunks)
        best = min(best, time.perf_counter() - start)
        if best > PATIENCE_S:
            break
    return best / len(stream) * 1e9


def measure() -> dict[str, dict[str, dict[int, float]]]:
    """Input, library, bytes: nanoseconds a byte."""
    found: dict[str, dict[str, dict[int, float]]] = {name: {} for name in INPUTS}
    for library, load in READERS.items():
        try:
            read = load()
        except ImportError as error:
            print(f"{library}: skipped: {error}", file=sys.stderr)
            continue
        for name, stream in INPUTS.items():
            times = found[name][f"{library} {released(library)}".rstrip()] = {}
            for n in LENGTHS:
                try:
                    times[n] = ns_each(read, stream(n))
                except Exception as error:
                    print(f"{library}, {name}, {n}: {type(error).__name__}: {error}", file=sys.stderr)
                    break
                if times[n] * n > PATIENCE_S * 1e9 / 4:  # quadratic, the next takes four times that
                    break
    return found


if __name__ == "__main__":
    write(measure, __doc__, "growth_sse", each="ns a byte", of="bytes", x="bytes of the event", y="nanoseconds a byte")

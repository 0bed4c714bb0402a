"""What the benchmarks share: the tests' references, and one way to time.

A benchmark is library x case. `extra_info["correct"]` stands beside the time: a fast wrong answer is no win. Times per
token or row are in `extra_info["us_each"]`, from the fastest round.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


@pytest.fixture
def timed(benchmark: Any) -> Callable[..., Any]:
    """timed(library, n, correct, call): time `call`, which handles n tokens, rows or bytes."""

    def run(library: str, n: int, correct: bool, call: Callable[[], Any]) -> Any:
        try:
            benchmark.extra_info["library"] = f"{library} {version(library)}"
        except PackageNotFoundError:
            benchmark.extra_info["library"] = library
        benchmark.extra_info["correct"] = correct
        result = benchmark(call)
        if benchmark.stats:
            benchmark.extra_info["us_each"] = round(benchmark.stats.stats.min / n * 1e6, 4)
        return result

    return run

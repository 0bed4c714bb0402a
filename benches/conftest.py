"""What the benchmarks share: the tests' references, one way to time, and one way to say what could not be timed.

A benchmark is library x case. `extra_info["correct"]` stands beside the time: a fast wrong answer is no win. Times per
token, row or byte are in `extra_info["us_each"]`, from the fastest round. A library that is not there, or cannot do the
case, is skipped with its reason, which the JSON of `make bench` keeps too.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from libraries import released

skipped: list[dict[str, str]] = []


@pytest.fixture
def timed(benchmark: Any) -> Callable[..., Any]:
    """timed(library, n, correct, call): time `call`, which handles n tokens, rows or bytes."""

    def run(library: str, n: int, correct: bool, call: Callable[[], Any]) -> Any:
        benchmark.extra_info["library"] = f"{library} {released(library)}".rstrip()
        benchmark.extra_info["correct"] = correct
        result = benchmark(call)
        if benchmark.stats:
            benchmark.extra_info["us_each"] = float(f"{benchmark.stats.stats.min / n * 1e6:.4g}")
        return result

    return run


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = (yield).get_result()
    if report.skipped and call.excinfo is not None:
        skipped.append({"name": item.name, "reason": str(call.excinfo.value)})


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    output_json["skipped"] = skipped


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info["node"] = ""  # whose machine it is says nothing
    machine_info["python"] = platform.python_version()

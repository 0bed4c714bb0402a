"""Fixtures that more than one test file needs, and the settings of hypothesis. The tests of a noun are in its file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import logitwire as lw

settings.register_profile(
    "fast", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile("slow", max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

VECTORS = Path(__file__).parent / "vectors"


def vectors(noun: str) -> list[dict[str, Any]]:
    """The cases of `vectors/<noun>.json`, which Rust tests read too."""
    cases: list[dict[str, Any]] = json.loads((VECTORS / f"{noun}.json").read_text("utf-8"))
    return cases


@pytest.fixture(autouse=True)
def one_torch_thread() -> None:
    """Two threads that spin on a busy machine are slower than one; only where a test imported torch itself."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The embedded model's file. It is pulled once, which is the only time a test needs a network."""
    from logitwire import pull

    path = pull.cached("smollm2")
    if path is None and os.environ.get("LOGITWIRE_OFFLINE"):
        pytest.skip("smollm2 is not in the cache and LOGITWIRE_OFFLINE forbids fetching it")
    return path or pull.fetch("smollm2")


@pytest.fixture(scope="session")
def smollm2(smollm2_path: Path) -> Any:
    """The embedded model, loaded."""
    return lw.models.load(str(smollm2_path))


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Text that breaks tokenizers: scripts, emoji, controls, odd spaces, what looks like special tokens."""
    return [case["text"] for case in vectors("texts")]

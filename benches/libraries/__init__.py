"""The libraries that the benchmarks put beside ours, each behind the same few lines: a file for each noun.

`LIBRARIES` of a file names them. What one cannot be given raises `Unsupported` or whatever the library itself raises,
and the benchmark says so in its place. None is asked for more than its documentation offers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

T = TypeVar("T")


class Unsupported(Exception):
    """The library has no way to take this vocabulary or this option."""


def released(library: str) -> str:
    """The version of a library, whose name may be followed by a comma and the part of it that is meant."""
    package = library.partition(",")[0]
    if package == "vllm":
        from libraries import vllm

        return vllm.VERSION
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def loaded(libraries: Mapping[str, Callable[..., T]], library: str, *given: Any) -> T:
    """`libraries[library](*given)`, or a skip that says why not."""
    import pytest

    try:
        return libraries[library](*given)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of PyO3's is no Exception
        if library.startswith("logitwire"):
            raise
        reason = str(error).strip().partition("\n")[0][:160]
        pytest.skip(f"{library}: {type(error).__name__}: {reason}")

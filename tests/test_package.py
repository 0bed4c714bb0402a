"""What is shipped: the files of the wheel and the sdist, what they require, and what importing the package drags in."""

from __future__ import annotations

import email
import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest

import logitwire as lw
from logitwire import _core

ROOT = Path(__file__).parents[1]
WHEEL_BYTES = 6_000_000
SOURCES = ROOT / "python" / "logitwire"


def built(pattern: str) -> Path:
    """The one file of that pattern which `make wheel` wrote."""
    folder = os.environ.get("LOGITWIRE_DIST")
    if folder is None:
        pytest.skip("LOGITWIRE_DIST does not say where the wheel lies; `make test` sets it")
    [path] = Path(folder).glob(pattern)
    return path


@pytest.fixture(scope="module")
def wheel() -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(built("*.whl")) as archive:
        yield archive


@pytest.fixture(scope="module")
def wheel_metadata(wheel: zipfile.ZipFile) -> Message:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(wheel.read(name))


def project_version() -> str:
    version: str = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    return version


def test_wheel_holds_our_files_and_no_others(wheel: zipfile.ZipFile) -> None:
    info = f"logitwire-{project_version()}.dist-info"
    ours = {
        f"logitwire/{path.relative_to(SOURCES).as_posix()}"
        for path in SOURCES.rglob("*")
        if path.suffix in {".py", ".pyi"} or path.name == "py.typed"
    }
    expected = ours | {
        "logitwire/_core.abi3.so",
        f"{info}/METADATA",
        f"{info}/WHEEL",
        f"{info}/RECORD",
        f"{info}/entry_points.txt",
        f"{info}/licenses/LICENSE",
    }
    names = {name for name in wheel.namelist() if not name.endswith("/")}
    bills_of_materials = {name for name in names if re.fullmatch(rf"{re.escape(info)}/sboms/[\w.-]+\.json", name)}
    assert names - bills_of_materials == expected
    # A .pth file runs code whenever Python starts, in programs that never import us.
    assert not [name for name in names if name.endswith(".pth")]


def test_wheel_is_small_and_abi3() -> None:
    wheel = built("*.whl")
    assert wheel.stat().st_size <= WHEEL_BYTES
    assert "-cp311-abi3-" in wheel.name


def test_wheel_requires_numpy_and_nothing_else(wheel_metadata: Message) -> None:
    required = [line for line in wheel_metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert [re.split(r"[^\w-]", line)[0] for line in required] == ["numpy"]
    assert set(wheel_metadata.get_all("Provides-Extra", [])) == {"server", "cli", "all", "torch"}


def test_wheel_says_its_licence(wheel_metadata: Message) -> None:
    assert wheel_metadata["License-Expression"] == "Apache-2.0"


def test_sdist_holds_what_a_packager_needs() -> None:
    with tarfile.open(built("*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = {
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "requirements/vocabularies.txt",
    }
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    crates = {
        path.relative_to(ROOT).as_posix() for crate in ("core", "py") for path in (ROOT / "rust" / crate).rglob("*.rs")
    }
    assert tracked | tests | crates <= names
    assert not [name for name in names if name.endswith((".so", ".pyc", ".whl"))]


def test_one_version_everywhere() -> None:
    version = project_version()
    assert lw.__version__ == version
    assert _core.__version__ == version
    assert importlib.metadata.version("logitwire") == version
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == version


def test_package_is_typed() -> None:
    assert Path(lw.__file__).with_name("py.typed").is_file()
    assert Path(lw.__file__).with_name("_core.pyi").is_file()


def test_command_is_installed() -> None:
    scripts = importlib.metadata.distribution("logitwire").entry_points.select(group="console_scripts")
    assert [(script.name, script.value) for script in scripts] == [("logitwire", "logitwire.cli:main")]


def test_import_brings_numpy_and_the_standard_library_only() -> None:
    program = (
        "import sys; before = set(sys.modules); import logitwire;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert set(loaded) - sys.stdlib_module_names - {"numpy", "logitwire"} == set()

"""Pulling a model: a server on this machine, a tiny wheel, and pip (a stand-in for most, the real one for two)."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import json
import os
import re
import subprocess
import sys
import threading
import venv
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from logitwire import pull
from logitwire.errors import ModelNotFoundError, OfflineError, PullError

CONTENT = bytes(range(256)) * 1_000
WHEEL_NAME = "tiny_model-1.0-py3-none-any.whl"


def make_wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("tiny_model/tiny.gguf", CONTENT)  # stored: the wheel is larger than a socket's buffer
        metadata = "tiny_model-1.0.dist-info/"
        archive.writestr(metadata + "METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(metadata + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(metadata + "RECORD", "")
    return buffer.getvalue()


WHEEL = make_wheel()
TINY = pull.Asset(
    package="tiny-model",
    version="1.0",
    wheel=WHEEL_NAME,
    wheel_sha256=hashlib.sha256(WHEEL).hexdigest(),
    wheel_size=len(WHEEL),
    member="tiny_model/tiny.gguf",
    file_sha256=hashlib.sha256(CONTENT).hexdigest(),
    file_size=len(CONTENT),
    licence="Apache-2.0",
)

Answer = Callable[[http.server.BaseHTTPRequestHandler, int], None]


class Index(http.server.ThreadingHTTPServer):
    """Serves the wheel and a simple index page; `answers` are used up first, one a request for the wheel."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: deque[Answer] = deque()
        self.ranges: list[str | None] = []
        self.if_ranges: list[str | None] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files/{WHEEL_NAME}"

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        if self.path.startswith("/simple/"):
            body = f'<a href="/files/{WHEEL_NAME}#sha256={TINY.wheel_sha256}">{WHEEL_NAME}</a>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        self.server.if_ranges.append(self.headers.get("If-Range"))
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
        (self.server.answers.popleft() if self.server.answers else serve)(self, start)

    def log_message(self, *args: object) -> None:
        pass


def send(handler: http.server.BaseHTTPRequestHandler, start: int, body: bytes, *, announced: int | None = None) -> None:
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(WHEEL) - 1}/{len(WHEEL)}")
    handler.send_header("ETag", '"one"')
    handler.send_header("Content-Length", str(len(body) if announced is None else announced))
    handler.end_headers()
    handler.wfile.write(body)


def serve(handler: http.server.BaseHTTPRequestHandler, start: int) -> None:
    send(handler, start, WHEEL[start:])


def cut_after(n_bytes: int) -> Answer:
    return lambda handler, start: send(handler, start, WHEEL[start:][:n_bytes], announced=len(WHEEL) - start)


def ignore_range(handler: http.server.BaseHTTPRequestHandler, start: int) -> None:
    send(handler, 0, WHEEL)


def another_file(handler: http.server.BaseHTTPRequestHandler, start: int) -> None:
    send(handler, start, bytes(len(WHEEL) - start))


def status(code: int) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler, start: int) -> None:
        handler.send_error(code)

    return answer


PIP = """
import json, os, sys
if os.environ.get("FAKE_PIP_SAYS"):
    sys.exit(os.environ["FAKE_PIP_SAYS"])
if sys.argv[1] == "install":
    report = sys.argv[sys.argv.index("--report") + 1]
    hashes = {"sha256": os.environ["FAKE_PIP_SHA256"]}
    info = {"url": os.environ["FAKE_PIP_ADDRESS"], "archive_info": {"hashes": hashes}}
    open(report, "w").write(json.dumps({"install": [{"download_info": info}]}))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("PIP_", "LOGITWIRE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("LOGITWIRE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(pull.MODELS, "tiny", TINY)
    monkeypatch.setattr(pull, "BACKOFF_S", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def index() -> Iterator[Index]:
    with Index() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: Index) -> None:
    """A stand-in that `python -m pip` finds before the real one."""
    (tmp_path / "path" / "pip").mkdir(parents=True)
    (tmp_path / "path" / "pip" / "__init__.py").touch()
    (tmp_path / "path" / "pip" / "__main__.py").write_text(PIP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    monkeypatch.setenv("FAKE_PIP_ADDRESS", index.address)
    monkeypatch.setenv("FAKE_PIP_SHA256", TINY.wheel_sha256)


def files(folder: Path) -> dict[str, int]:
    """Every file but the lock, with its size."""
    found = {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    return {name: size for name, size in found.items() if not name.endswith(".lock")}


MODEL = str(Path("models", "tiny", "tiny.gguf"))
PART = str(Path("downloads", WHEEL_NAME + ".part"))
DONE = {MODEL: len(CONTENT)}


def test_fetch_puts_the_file_in_the_cache_and_nothing_else(pip: None, index: Index, cache: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = pull.fetch("tiny", progress=lambda done, total: seen.append((done, total)))
    assert path == cache / MODEL == pull.cached("tiny") == pull.verify("tiny")
    assert path.read_bytes() == CONTENT
    assert files(cache) == DONE
    assert seen[-1] == (len(WHEEL), len(WHEEL))
    assert seen == sorted(seen)


def test_a_cached_file_needs_neither_pip_nor_network(pip: None, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    pull.fetch("tiny")
    monkeypatch.setenv("FAKE_PIP_SAYS", "ERROR: must not be asked")
    assert pull.fetch("tiny", offline=True) == pull.fetch("tiny")
    assert len(index.ranges) == 1


def test_a_cut_connection_goes_on_where_it_was_cut(pip: None, index: Index, cache: Path) -> None:
    index.answers += [cut_after(100_000), status(503), cut_after(50_000)]
    pull.fetch("tiny")
    assert index.ranges == [None, "bytes=100000-", "bytes=100000-", "bytes=150000-"]
    assert index.if_ranges == [None, '"one"', '"one"', '"one"']
    assert files(cache) == DONE


def test_a_download_given_up_is_taken_up_by_the_next(pip: None, index: Index, cache: Path) -> None:
    index.answers += [cut_after(1_000)] * pull.ATTEMPTS
    with pytest.raises(PullError, match=f"failed {pull.ATTEMPTS} times") as caught:
        pull.fetch("tiny")
    assert f"{1_000 * pull.ATTEMPTS:,} of {len(WHEEL):,} bytes are kept" in str(caught.value.hint)
    assert files(cache) == {PART: 1_000 * pull.ATTEMPTS}
    pull.fetch("tiny")
    assert index.ranges[-1] == f"bytes={1_000 * pull.ATTEMPTS}-"
    assert files(cache) == DONE


def test_a_server_without_ranges_starts_over(pip: None, index: Index, cache: Path) -> None:
    index.answers += [cut_after(100_000), ignore_range]
    assert pull.fetch("tiny").read_bytes() == CONTENT
    assert index.ranges == [None, "bytes=100000-"]


def test_a_range_that_is_refused_starts_over(pip: None, index: Index) -> None:
    index.answers += [cut_after(100_000), status(416)]
    assert pull.fetch("tiny").read_bytes() == CONTENT
    assert index.ranges == [None, "bytes=100000-", None]


def test_a_range_other_than_the_one_asked_for_starts_over(pip: None, index: Index) -> None:
    index.answers += [cut_after(100_000), lambda handler, start: serve(handler, 7)]
    assert pull.fetch("tiny").read_bytes() == CONTENT
    assert index.ranges == [None, "bytes=100000-", None]


def test_a_whole_part_is_not_downloaded_again(pip: None, index: Index, cache: Path) -> None:
    (cache / PART).parent.mkdir(parents=True)
    (cache / PART).write_bytes(WHEEL)
    pull.fetch("tiny")
    assert index.ranges == []


def test_a_part_that_is_too_long_starts_over(pip: None, index: Index, cache: Path) -> None:
    (cache / PART).parent.mkdir(parents=True)
    (cache / PART).write_bytes(WHEEL + b"!")
    assert pull.fetch("tiny").read_bytes() == CONTENT


def test_a_wrong_hash_is_an_error_and_the_file_is_removed(pip: None, index: Index, cache: Path) -> None:
    index.answers += [another_file]
    with pytest.raises(PullError, match="sha256"):
        pull.fetch("tiny")
    assert files(cache) == {}


def test_a_wrong_start_kept_from_before_is_found_out(pip: None, index: Index, cache: Path) -> None:
    (cache / PART).parent.mkdir(parents=True)
    (cache / PART).write_bytes(bytes(1_000))
    with pytest.raises(PullError, match="sha256") as caught:
        pull.fetch("tiny")
    assert "pull again to start afresh" in str(caught.value.hint)
    assert pull.fetch("tiny").read_bytes() == CONTENT


def test_a_login_page_in_the_way_is_refused_by_its_length(pip: None, index: Index, cache: Path) -> None:
    index.answers += [cut_after(1_000), lambda handler, start: send(handler, 0, b"<html>sign in</html>")]
    with pytest.raises(PullError, match="20 bytes where"):
        pull.fetch("tiny")
    assert files(cache) == {PART: 1_000}


def test_a_client_error_is_not_tried_again(pip: None, index: Index, cache: Path) -> None:
    index.answers += [status(401)]
    with pytest.raises(PullError, match="401"):
        pull.fetch("tiny")
    assert len(index.ranges) == 1
    assert files(cache) == {}


def test_a_server_that_is_gone(pip: None, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "ATTEMPTS", 2)
    monkeypatch.setenv("FAKE_PIP_ADDRESS", "http://127.0.0.1:9/nothing.whl")
    with pytest.raises(PullError, match="failed 2 times"):
        pull.fetch("tiny")


def test_a_server_that_stalls(pip: None, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()

    def stall(handler: http.server.BaseHTTPRequestHandler, start: int) -> None:
        send(handler, start, WHEEL[:10_000], announced=len(WHEEL))
        done.wait(10)

    monkeypatch.setattr(pull, "TIMEOUT_S", 0.2)
    index.answers += [stall]
    assert pull.fetch("tiny").read_bytes() == CONTENT
    done.set()
    assert index.ranges == [None, "bytes=10000-"]


def test_another_file_in_the_index_is_refused_before_it_is_fetched(
    pip: None, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PIP_SHA256", "0" * 64)
    with pytest.raises(PullError, match="than was pinned"):
        pull.fetch("tiny")
    assert index.ranges == []


def test_an_address_of_another_kind_is_refused(pip: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_PIP_ADDRESS", "ftp://127.0.0.1/tiny.whl")
    with pytest.raises(PullError, match="ftp://"):
        pull.fetch("tiny")


def test_what_pip_says_is_passed_on(pip: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_PIP_SAYS", "WARNING: Retrying\nERROR: No matching distribution found for tiny-model==1.0")
    with pytest.raises(PullError, match=r"No matching distribution found for tiny-model==1.0$") as caught:
        pull.fetch("tiny")
    assert "tiny.gguf" in str(caught.value.hint)


def test_an_environment_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=os.name != "nt")
    bare = tmp_path / "bare" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(PullError, match="has none") as caught:
        pull.fetch("tiny")
    assert "-m ensurepip" in str(caught.value.hint)
    assert str(pull.model_path("tiny")) in str(caught.value.hint)


def test_a_pip_in_the_working_directory_is_not_run(pip: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('ERROR: hijacked')")
    monkeypatch.chdir(tmp_path)
    assert pull.fetch("tiny").read_bytes() == CONTENT


@pytest.mark.skipif(find_spec("pip") is None, reason="this environment has no pip")
def test_the_real_pip_and_an_index(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index.page)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    assert pull.fetch("tiny").read_bytes() == CONTENT


@pytest.mark.skipif(find_spec("pip") is None, reason="this environment has no pip")
def test_the_real_pip_and_a_wheelhouse(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = tmp_path / "wheel house"
    house.mkdir()
    (house / WHEEL_NAME).write_bytes(WHEEL)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", house.as_uri())
    assert pull.fetch("tiny").read_bytes() == CONTENT
    assert files(cache) == DONE
    assert (house / WHEEL_NAME).exists()


def test_a_wrong_wheel_of_the_user_is_left_alone(
    pip: None, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / WHEEL_NAME).write_bytes(WHEEL[:-1])
    monkeypatch.setenv("FAKE_PIP_ADDRESS", (tmp_path / WHEEL_NAME).as_uri())
    with pytest.raises(PullError, match="sha256"):
        pull.fetch("tiny")
    assert (tmp_path / WHEEL_NAME).exists()
    assert files(cache) == {}


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_offline_says_what_to_run(
    pip: None, index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "environment":
        monkeypatch.setenv("LOGITWIRE_OFFLINE", "1")
    with pytest.raises(OfflineError, match="not in the cache") as caught:
        pull.fetch("tiny", offline=True if how == "argument" else None)
    assert "logitwire pull tiny" in str(caught.value.hint)
    assert index.ranges == []
    assert not cache.exists()


@pytest.mark.parametrize(("value", "offline"), [("", False), ("0", False), ("No", False), ("1", True), ("yes", True)])
def test_what_the_environment_forbids(monkeypatch: pytest.MonkeyPatch, value: str, offline: bool) -> None:
    monkeypatch.setenv("LOGITWIRE_OFFLINE", value)
    assert pull.is_offline() is offline


def test_an_unknown_name() -> None:
    for call in (pull.fetch, pull.cached, pull.verify):
        with pytest.raises(ModelNotFoundError, match="no model is named 'gpt-17'") as caught:
            call("gpt-17")
        assert "smollm2" in str(caught.value.hint)


def test_verify_removes_what_is_not_the_model(cache: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="not in the cache"):
        pull.verify("tiny")
    (cache / MODEL).parent.mkdir(parents=True)
    (cache / MODEL).write_bytes(bytes(len(CONTENT)))
    assert pull.cached("tiny") is not None
    with pytest.raises(PullError, match="sha256"):
        pull.verify("tiny")
    assert pull.cached("tiny") is None


def test_half_a_file_is_not_taken_for_the_model(pip: None, cache: Path) -> None:
    (cache / MODEL).parent.mkdir(parents=True)
    (cache / MODEL).write_bytes(CONTENT[:-1])
    assert pull.cached("tiny") is None
    assert pull.fetch("tiny").read_bytes() == CONTENT


def test_interrupted_in_the_download_it_can_be_resumed(pip: None, index: Index, cache: Path) -> None:
    def interrupt(done: int, total: int | None) -> None:
        if done > 50_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull.fetch("tiny", progress=interrupt)
    have = files(cache)[PART]
    assert 50_000 < have < len(WHEEL)
    assert (cache / PART).read_bytes() == WHEEL[:have]
    assert pull.fetch("tiny").read_bytes() == CONTENT
    assert index.ranges == [None, f"bytes={have}-"]


def test_interrupted_in_the_extraction_nothing_is_half_there(
    pip: None, index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pull.fetch("tiny")
    assert files(cache) == {PART: len(WHEEL)}
    assert pull.fetch("tiny").read_bytes() == CONTENT
    assert len(index.ranges) == 1


def test_a_full_disk(pip: None, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(PullError, match="No space left") as caught:
            pull.fetch("tiny")
    assert "MB are needed" in str(caught.value.hint)
    assert files(cache) == {PART: len(WHEEL)}


def test_a_cache_that_cannot_be_written(pip: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOGITWIRE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(PullError, match="could not be stored") as caught:
        pull.fetch("tiny")
    assert "LOGITWIRE_CACHE" in str(caught.value.hint)


PULL_TINY = """
import json, sys
from logitwire import pull
pull.MODELS["tiny"] = pull.Asset(**json.loads(sys.argv[1]))
print(pull.fetch("tiny"))
"""


def test_two_processes_at_once_download_once(pip: None, index: Index, cache: Path, tmp_path: Path) -> None:
    both_are_up = threading.Event()

    def hold(handler: http.server.BaseHTTPRequestHandler, start: int) -> None:
        both_are_up.wait(30)
        serve(handler, start)

    index.answers += [hold]
    package = Path(pull.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(package)])}
    asset = json.dumps({name: getattr(TINY, name) for name in pull.Asset.__slots__})
    command = [sys.executable, "-c", PULL_TINY, asset]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    threading.Timer(1.0, both_are_up.set).start()
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (out.strip(), err) == (str(cache / MODEL), "")
    assert index.ranges == [None]
    assert files(cache) == DONE


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the XDG rule is for other systems")
def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert pull.cache_dir() == tmp_path / "cache"
    monkeypatch.setenv("LOGITWIRE_CACHE", "~/models")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert pull.cache_dir() == tmp_path / "models"
    monkeypatch.delenv("LOGITWIRE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert pull.cache_dir() == tmp_path / ".cache" / "logitwire"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert pull.cache_dir() == tmp_path / "xdg" / "logitwire"


def test_pins_are_well_formed() -> None:
    for asset in pull.MODELS.values():
        assert re.fullmatch("[0-9a-f]{64}", asset.wheel_sha256)
        assert re.fullmatch("[0-9a-f]{64}", asset.file_sha256)
        assert asset.wheel.startswith(f"{asset.package.replace('-', '_')}-{asset.version}-")

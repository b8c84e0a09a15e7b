"""Find the MovieLens files on this machine, or fetch them; each must have the SHA-256 that was published.

Looked for, in this order: the folder named by DEEPFM_DATA; the cache (DEEPFM_CACHE, else the user's cache
folder); the official archive (first at the base address in DEEPFM_MIRROR, if set, then at its own address and
its mirrors); and for ml-100k the copy inside a package on the Python package index. Progress goes to the
logger "deepfm_helpers.datasets" at level INFO.
"""

import errno
import hashlib
import http.client
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from deepfm_helpers.schema import DataError

log = logging.getLogger("deepfm_helpers.datasets")

CONNECT_SECONDS, READ_SECONDS, PIP_SECONDS = 3, 20, 120
DOWNLOAD_SECONDS = 900  # for an archive as a whole


@dataclass(frozen=True)
class Form:
    """One published form of a dataset: its archive (size in bytes), the folder inside, the files read, with SHA-256."""

    source: str
    archive: str
    size: int
    sha256: str
    inside: str
    files: dict[str, str]


OFFICIAL_1M = Form(
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
)
OFFICIAL_100K = Form(
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
)
WHEEL_100K = Form(
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
)
WHEEL_REQUIREMENT = "recbole==1.2.1"
DATASETS = {"ml-100k": (OFFICIAL_100K, WHEEL_100K), "ml-1m": (OFFICIAL_1M,)}

# Every byte is checked against its SHA-256, so plain http is safe; it helps when a certificate has expired.
ADDRESSES = (
    "https://files.grouplens.org/datasets/movielens/",
    "http://files.grouplens.org/datasets/movielens/",
    "https://web.archive.org/web/2024id_/https://files.grouplens.org/datasets/movielens/",
)


class Located(NamedTuple):
    """The folder of a dataset's verified files, where they came from in words, and file -> SHA-256."""

    path: Path
    source: str
    files: dict[str, str]


def locate(
    name: str, *, folder: str | os.PathLike[str] | None = None, cache: str | os.PathLike[str] | None = None
) -> Located:
    """Return the verified folder of "ml-100k" or "ml-1m"; fetch it into the cache when it is nowhere else.

    Args:
        name: the dataset.
        folder: a folder that holds `name` as a subfolder, or is it; nowhere else is looked then.
        cache: replaces the default cache folder.

    Raises:
        DataError: not to be had, or not what was published. The cache is then as it was.
    """
    if folder is not None:
        return _verified(name, _inside(name, Path(folder).expanduser()), "given folder")
    notes = []
    if data := data_folder():
        place = _inside(name, data)
        if _holds(name, place):
            return _verified(name, place, "folder named by DEEPFM_DATA")
        notes.append(f"DEEPFM_DATA={data}: no folder {name} in it")
        log.info("%s is not in the folder named by DEEPFM_DATA, %s", name, data)
    cache = cache_folder(cache)
    try:
        return _verified(name, cache / name)
    except DataError as error:
        if (cache / name).exists():
            log.warning("fetching %s again: %s", name, error)
    return _fetch(name, cache, notes)


def data_folder() -> Path | None:
    """The folder that DEEPFM_DATA names, as an absolute path; None if the variable is not set.

    It holds the dataset folders, or is one of them. A relative path counts from the working folder, and if it leads
    nowhere from there, as in a notebook, from the root of the checkout.

    Raises:
        DataError: the variable leads to no folder, or to one that holds no dataset of this book.
    """
    named = os.environ.get("DEEPFM_DATA")
    if not named:
        return None
    given = Path(named).expanduser()
    places = [place.resolve() for place in (given, Path(__file__).parents[1] / given)]
    for place in places:
        if any(_holds(name, _inside(name, place)) for name in DATASETS):
            return place
    what = "holds no data of this book" if any(place.is_dir() for place in places) else "is no folder"
    raise DataError(
        f"DEEPFM_DATA={named}: {places[0]} {what}; name a folder that holds {' or '.join(DATASETS)}, "
        "or unset the variable to have the data fetched"
    )


def cache_folder(cache: str | os.PathLike[str] | None = None) -> Path:
    """Where fetched files are kept, as an absolute path: `cache`, DEEPFM_CACHE, or the user's cache folder."""
    if cache := cache or os.environ.get("DEEPFM_CACHE"):
        return Path(cache).expanduser().resolve()
    import platformdirs

    return Path(platformdirs.user_cache_dir("deepfm-book"))


def _inside(name: str, folder: Path) -> Path:
    """The folder of a dataset: a subfolder of its name, or the folder itself."""
    return folder / name if (folder / name).is_dir() else folder


def _holds(name: str, folder: Path) -> bool:
    """Whether a folder is meant for a dataset: by its name, or by one of its files."""
    files = [file for form in DATASETS[name] for file in form.files]
    return folder.is_dir() and (folder.name == name or any((folder / file).is_file() for file in files))


def _verified(name: str, path: Path, source: str | None = None) -> Located:
    """Check that `path` holds one form of the dataset, unchanged."""
    for form in DATASETS[name]:
        if any((path / file).is_file() for file in form.files):
            for file, expected in form.files.items():
                _check_hash(path / file, expected)
            return Located(path, source or form.source, dict(form.files))
    expected = " or ".join(", ".join(form.files) for form in DATASETS[name])
    raise DataError(f"{path}: the files of {name} are not here (expected {expected})")


def _check_hash(path: Path, expected: str) -> None:
    if not path.is_file():
        raise DataError(f"{path} is missing: unpack the archive again")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise DataError(
            f"{path}: SHA-256 is {found}, expected {expected}: "
            "the file is damaged or was edited; fetch it again"
        )


def _fetch(name: str, cache: Path, notes: list[str]) -> Located:
    """Try every way to `name` in turn; what succeeds is built under a temporary name and moved into place."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".incoming-", dir=cache, ignore_cleanup_errors=True
        ) as scratch:
            for form, origin, download in _ways(name):
                log.info("fetching %s from %s", name, origin)
                archive, unpacked = Path(scratch, form.archive), Path(scratch, name)
                try:
                    download(archive)
                    _check_hash(archive, form.sha256)
                    _unpack(archive, form, unpacked)
                except DataError as error:
                    shutil.rmtree(unpacked, ignore_errors=True)
                    notes.append(f"{origin}: {error}")
                    log.info("that failed: %s", error)
                else:
                    return _install(name, unpacked, cache / name)
    except OSError as error:
        advice = "free some space" if error.errno == errno.ENOSPC else "make it writable"
        raise DataError(
            f"cannot write to the cache {cache}: {error.strerror or error}; "
            f"{advice}, or name another folder in DEEPFM_CACHE"
        ) from error
    form = DATASETS[name][0]
    raise DataError(
        f"{name} cannot be fetched:\n"
        + "\n".join(f"  - {note}" for note in notes)
        + f"\nFetch {ADDRESSES[0]}{form.archive} elsewhere, unpack it, and name the folder that then holds "
        f"{name}/ in DEEPFM_DATA; or use the dataset 'planted', which needs no network."
    )


def _ways(name: str) -> Iterator[tuple[Form, str, Callable[[Path], None]]]:
    """Yield form, origin in words, and a function that downloads to a path or raises DataError."""
    mirror = os.environ.get("DEEPFM_MIRROR")
    if mirror and not mirror.startswith(("http://", "https://")):
        raise DataError(f"DEEPFM_MIRROR={mirror}: name an address that begins with http:// or https://")
    addresses = ((mirror.rstrip("/") + "/",) if mirror else ()) + ADDRESSES
    for form in DATASETS[name]:
        if form is WHEEL_100K:
            yield form, f"the Python package index ({WHEEL_REQUIREMENT})", _download_wheel
        else:
            for address in addresses:
                url = address + form.archive
                yield form, url, lambda path, url=url, size=form.size: download(url, path, size)


def download(url: str, path: Path, size: int, seconds: float = DOWNLOAD_SECONDS) -> None:
    """Write what an address answers to a file, as it is sent.

    Args:
        url: http or https.
        path: of the file.
        size: how many bytes are expected; no more are read.
        seconds: that the whole may take.

    Raises:
        DataError: no answer, an answer that is no success, more bytes than expected, or too slow.
    """
    import requests
    import urllib3

    end, received = time.monotonic() + seconds, 0
    try:
        with (
            requests.get(
                url,
                stream=True,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                headers={"Accept-Encoding": "identity"},  # and what is packed all the same stays so
            ) as answer,
            path.open("wb") as file,
        ):
            answer.raise_for_status()
            while block := answer.raw.read1(2**16, decode_content=False):
                received += len(block)
                if received > size:
                    raise DataError(f"sends more than the {size:,} bytes that were published")
                if time.monotonic() > end:
                    raise DataError(f"sent {received:,} of {size:,} bytes in {seconds:g} s: too slow")
                file.write(block)
    except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
        raise DataError(_reason(error)) from error
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"an answer that cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The innermost cause in one line: the outer ones repeat the address in several wrappings."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _download_wheel(path: Path) -> None:
    """Fetch the wheel by name and hash with pip, without installing it or anything it depends on."""
    if importlib.util.find_spec("pip") is None:
        raise DataError("this Python has no pip; run: python -m ensurepip")
    requirements = path.with_name("requirements.txt")
    requirements.write_text(f"{WHEEL_REQUIREMENT} --hash=sha256:{WHEEL_100K.sha256}\n", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--timeout=5", "--retries=1"]
    command += ["--dest", str(path.parent), "--requirement", str(requirements)]
    try:
        run = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=PIP_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"pip did not finish within {PIP_SECONDS} s") from error
    if run.returncode or not path.is_file():
        lines = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or [
            "pip gave no reason"
        ]
        raise DataError("; ".join(lines))


def _unpack(archive: Path, form: Form, target: Path) -> None:
    """Write the dataset's files, and the README with its licence, from a verified archive to a new folder."""
    try:
        with zipfile.ZipFile(archive) as content:
            for entry in content.infolist():
                _check_entry(entry)
            target.mkdir()
            present = set(content.namelist())
            for file in (*form.files, "README"):
                if form.inside + file in present:
                    with content.open(form.inside + file) as source, (target / file).open("wb") as copy:
                        shutil.copyfileobj(source, copy)
                elif file in form.files:
                    raise DataError(f"{archive.name} has no member {form.inside + file}")
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive.name} is not a zip archive: {error}") from error
    for file, expected in form.files.items():
        _check_hash(target / file, expected)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename
    windows = PureWindowsPath(name)  # understands both kinds of slash, drives and absolute paths
    is_link = (entry.external_attr >> 16) & 0o170000 == 0o120000
    if windows.drive or windows.root or ".." in windows.parts or is_link:
        raise DataError(f"archive entry {name!r} would escape the folder: nothing was unpacked")


def _install(name: str, unpacked: Path, place: Path) -> Located:
    """Move a finished folder to its place in the cache; an unusable one that is there makes way only now."""
    try:
        return _verified(name, place)  # another process was faster
    except DataError:
        pass
    replaced = unpacked.with_name("replaced")
    if place.exists():
        place.replace(replaced)
    try:
        unpacked.replace(place)
    except OSError:
        if replaced.exists():
            replaced.replace(place)
        raise
    return _verified(name, place)

"""Find the public addresses of the repository and of the pages, and make the copies of the notebooks for Colab."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat

from deepfm_helpers.files import write_whole
from deepfm_helpers.press.checkout import BuildFailed, Checkout

_REPOSITORY = re.compile(
    r"(?:https?://|ssh://|git@)(?:[^/@]*@)?(github\.com|gitlab\.com|bitbucket\.org)"
    r"[/:]([\w.-]+/[\w.-]+?)(?:\.git)?/?"
)
_SITE = re.compile(r"https?://[\w.:-]+(/[\w./~-]*)?")
_BRANCH = re.compile(r"[\w./-]+")


def repository_url(here: Checkout) -> str | None:
    """Return the public address of this repository, from DEEPFM_REPOSITORY_URL or the git remote; None if unknown.

    Only hosts count that the theme can link to. A user name or a token in the remote is left out.
    """
    remote = os.environ.get("DEEPFM_REPOSITORY_URL") or here.git("remote", "get-url", "origin")
    match = _REPOSITORY.fullmatch(remote)
    return f"https://{match.group(1)}/{match.group(2)}" if match else None


def site_url(here: Checkout) -> str | None:
    """Return the public address of the pages, from DEEPFM_SITE_URL or GitHub's rule for its Pages; None if unknown.

    Raises:
        BuildFailed: DEEPFM_SITE_URL is not an address.
    """
    if address := _named("DEEPFM_SITE_URL", _SITE, "an address such as https://book.org/"):
        return address.rstrip("/") + "/"
    match = re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+)", repository_url(here) or "")
    if not match:
        return None
    owner, name = match.groups()
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def launch_branch() -> str | None:
    """Return the branch that holds the `launch_copies`, from DEEPFM_LAUNCH_BRANCH; None if there is none.

    Raises:
        BuildFailed: the name has characters other than letters, digits and ./-_.
    """
    return _named("DEEPFM_LAUNCH_BRANCH", _BRANCH, "a branch of letters, digits and ./-_")


def _named(variable: str, allowed: re.Pattern, wanted: str) -> str | None:
    """Return the value of an environment variable that enters the pages; refuse a value that is not `allowed`."""
    value = os.environ.get(variable)
    if value and not allowed.fullmatch(value):
        raise BuildFailed(f"{variable} = {value!r}: give {wanted}, or unset it")
    return value or None


def launch_copies(here: Checkout) -> Path:
    """Copy the notebooks for Colab, whose machines lack this book; a first code cell in each copy fetches it.

    Returns:
        The folder of the copies.

    Raises:
        BuildFailed: the address of the repository is not known.
    """
    url = repository_url(here)
    if url is None:
        raise BuildFailed("no address to fetch this book from: name it in DEEPFM_REPOSITORY_URL")
    source = f"""\
import sys

if "google.colab" in sys.modules:
    !git clone --quiet --depth 1 {url} /content/book
    %pip install --quiet requests platformdirs
    sys.path.insert(0, "/content/book")"""
    folder = here.built / "launch"
    folder.mkdir(parents=True, exist_ok=True)
    for path in here.select():
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.insert(1, nbformat.v4.new_code_cell(source, id="on-colab"))
        write_whole(folder / path.name, nbformat.writes(notebook))
    return folder

"""What a measured row comes from: the code that can move it, as a digest, and its data, as a fingerprint.

A row of the book depends on all that its program reaches by import; one of another system on the files of its own and
on the versions of its packages. A digest is taken once in a process, so that it is of the code that was measured.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from deepfm_helpers.press import digests
from deepfm_helpers.press.checkout import HERE
from deepfm_helpers.sweeps import plans

FOLDER = Path(__file__).parent
FILES = ("ml-1m", "ml-100k")
"""The datasets that are files; all other rows are of ratings that are drawn, by code, or of pages."""

PINNED = FOLDER / "peers-requirements.txt"
OTHERS = {
    "post": lambda: [f"{name}=={metadata.version(name)}" for name in ("keras", "tensorflow", "numpy")],
    "readers": lambda: [f"pandas=={metadata.version('pandas')}"],
    "deepctr": lambda: PINNED.read_text("utf-8").splitlines(),
    "myfm": lambda: PINNED.read_text("utf-8").splitlines(),
}
"""The versions of the packages of a program that is not the book's."""


def program(task: str, system: str) -> tuple[str, bool]:
    """The program that measures a system, as a path without its ending, and whether it measures the book.

    Raises:
        LookupError: nothing measures such a system.
    """
    from benchmarks import run  # which uses this module

    name = system.split(",")[0]
    if task == "rmse":
        of_answer = {answer: name for name in run.COMPARED for answer in run.answers_of(name)}
        module = run.COMPARED[of_answer[system]][0]
    elif task == "training" and name in ("book", "post", "deepctr"):
        module = name
    elif task == "reach":
        module = run.REACHED[system][0]
    elif task == "reading" and name in ("book", "post"):
        return "systems/readers", name == "book"
    elif task == "scale":
        module = "book"
    elif task in (own := {"pages": "pages", "processes": "processes", "reruns": "rerunning"}):
        return own[task], True
    else:
        raise LookupError(f"{task}: nothing measures {system}")
    return f"systems/{module}", module == "book"


def digest(task: str, system: str) -> str:
    """Sixteen digits over all that can move a row of a system, or of the two of a ratio.

    Raises:
        LookupError: see :func:`program`.
    """
    return digests.digest([_digest(*program(task, one)) for one in system.split(" / ")])


@cache
def _digest(path: str, books: bool) -> str:
    text = (FOLDER / f"{path}.py").read_text("utf-8")
    reached = digests.reached(HERE, text)
    if books:
        return digests.digest(digests.without_prose(text), reached)
    own = {name: code for name, code in reached.items() if name.startswith(f"{FOLDER.name}/")}
    return digests.digest(digests.without_prose(text), own, OTHERS[Path(path).name]())


def fingerprint(data: str) -> str | None:
    """The fingerprint of the dataset of a row; None for other data than files."""
    name = data.split(",")[0]
    return plans.fingerprint(name) if name in FILES else None


def stale(rows: Iterable[Mapping]) -> dict[tuple[str, str], list[str]]:
    """The systems, by task, that have rows which are not of today's code and data, and why."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        if reasons := list(_unlike(row)):
            found.setdefault((row["task"], row["system"]), {}).update(dict.fromkeys(reasons))
    return {what: list(reasons) for what, reasons in sorted(found.items())}


def _unlike(row: Mapping) -> Iterable[str]:
    if row["digest"] is None:
        yield "no digest of its code"
        return
    try:
        today = digest(row["task"], row["system"])
    except LookupError:
        yield "nothing measures it today"
        return
    if row["digest"] != today:
        yield "measured with other code or packages"
    name = row["data"].split(",")[0]
    if name in FILES and plans.fingerprint_at_hand(name) not in (None, row["fingerprint"]):
        yield "measured on other data"

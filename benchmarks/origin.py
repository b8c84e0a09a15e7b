"""Where a measured row comes from: a digest of the code that can change it, and the fingerprint of its data.

A row of the book depends on all that its program reaches by import; a row of another system depends on that system's
own files and on the versions of its packages. Where a program holds many models by name, in `MODELS`, a row depends on
what its own model needs, and a further model makes no row stale. A digest is computed once per process, so that it
describes the code that was measured.
"""

import ast
import threading
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from benchmarks import click_settings
from deepfm_helpers.fetching import PUBLISHED
from deepfm_helpers.page import versions
from deepfm_helpers.press import digests
from deepfm_helpers.press.checkout import HERE
from deepfm_helpers.sweeps import plans

FOLDER = Path(__file__).parent
PACKAGES = {"post": ("tensorflow", "keras", "numpy"), "readers": ("pandas",)}
"""Program -> the packages that it imports from the book's environment."""

PEERS = {
    "deepctr": "peers", "myfm": "peers", "deepctr_clicks": "peers", "fuxictr": "fuxictr", "lightgbm": "lightgbm",
}  # fmt: skip
"""Program -> the environment of other libraries that it runs in; `pinned` names what is in it."""

_PARSING = threading.Lock()  # Python 3.11's `ast.parse` may fail if two threads parse at once


def pinned(environment: str) -> Path:
    """Return the file that names the packages of one of the peers' environments, with their versions."""
    return FOLDER / f"{environment}-requirements.txt"


def program(task: str, system: str) -> tuple[str, bool, str | None]:
    """Return what measures a system.

    Returns:
        The program, as a path without its ending; whether it measures the book; and which of its `MODELS` it is asked
        for, if it has several.

    Raises:
        LookupError: no program measures the system.
    """
    from benchmarks import run  # which uses this module

    name, model = system.split(",")[0], None
    if task == "rmse":
        of_answer = {answer: name for name in run.COMPARED for answer in run.answers_of(name)}
        module, asked = run.COMPARED[of_answer[system]]
        path, model = f"systems/{module}", asked.get("model")
    elif task == "reach":
        path = f"systems/{run.REACHED[system][0]}"
    elif task == "clicks":
        module, asked = click_settings.ALL[system]
        path, model = f"systems/{module}", asked.get("model")
    elif task == "training":
        path = f"systems/{name}"
    elif task == "streams":
        path = "systems/book_streams"
    elif task == "scale":
        path = "systems/book"
    elif task == "reading":
        return "systems/readers", name == "book", None
    else:
        path = {"reruns": "rerunning"}.get(task, task)
    if not (FOLDER / f"{path}.py").is_file():
        raise LookupError(f"{task}: nothing measures {system}")
    return path, path.startswith("systems/book") or not path.startswith("systems/"), model


def digest(task: str, system: str) -> str:
    """Return 16 hexadecimal digits over all that can change a row of a system, or of the two systems of a ratio.

    For the task clicks this includes the system's settings.

    Raises:
        LookupError: see :func:`program`.
    """
    with _PARSING:
        made = [_digest(*program(task, one)) for one in system.split(" / ")]
        return digests.digest(made, click_settings.ALL[system]) if task == "clicks" else digests.digest(made)


@cache
def _digest(path: str, books: bool, model: str | None) -> str:
    text = (FOLDER / f"{path}.py").read_text("utf-8")
    if model:
        text = needed(text, model)
    reached = digests.reached(HERE, text, leave_out=("results", "origin"))  # which keep rows
    if books:
        return digests.digest(digests.without_prose(text), reached)
    own = {name: code for name, code in reached.items() if name.startswith(f"{FOLDER.name}/")}
    return digests.digest(digests.without_prose(text), own, _versions(Path(path).name))


def needed(text: str, model: str) -> str:
    """Return of a program the code that one of its `MODELS` needs: its imports, its main part, and what these use."""
    tree = ast.parse(text)
    bound: dict[str, ast.stmt] = {}
    for statement in tree.body:
        for name in _binds(statement):
            bound[name] = statement
    models = bound["MODELS"].value
    pairs = zip(models.keys, models.values, strict=True)
    kept = [(key, value) for key, value in pairs if key is None or key.value == model]  # None: **{...}
    models.keys, models.values = map(list, zip(*kept, strict=True))
    due = [statement for statement in tree.body if not list(_binds(statement))]
    found = []
    while due:
        found.append(statement := due.pop())
        uses = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        due += {id(bound[n]): bound[n] for n in sorted(uses) if n in bound and bound[n] not in found}.values()
    return "\n".join(ast.unparse(statement) for statement in tree.body if statement in found)


def _binds(statement: ast.stmt) -> Iterable[str]:
    """Yield the names that a definition or an assignment at the top of a module makes."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        yield statement.name
    if isinstance(statement, ast.Assign):
        yield from (n.id for target in statement.targets for n in ast.walk(target) if isinstance(n, ast.Name))


def _versions(name: str) -> list[str]:
    """Return the versions of the packages of a program that does not measure the book."""
    if name in PEERS:
        return pinned(PEERS[name]).read_text("utf-8").splitlines()
    installed = versions()
    return [f"{package}=={installed[package]}" for package in PACKAGES[name]]


def fingerprint(data: str) -> str | None:
    """Return the fingerprint of a row's dataset; None for planted ratings and for pages."""
    name = data.split(",")[0]
    return plans.fingerprint(name) if name in PUBLISHED.datasets else None


def stale(rows: Iterable[Mapping]) -> dict[tuple[str, str], list[str]]:
    """Return the systems, by task, whose rows were not measured with today's code and data, with the reasons."""
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
    if name in PUBLISHED.datasets and plans.fingerprint_at_hand(name) not in (None, row["fingerprint"]):
        yield "measured on other data"

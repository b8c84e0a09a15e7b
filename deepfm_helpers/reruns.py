"""Run a notebook with other parameters, and read back the numbers that it recorded.

``python -m deepfm_helpers.reruns notebooks/07_training.ipynb out.ipynb -p seed 3 -p epochs 5`` does from a
shell what :func:`run` does from Python.
"""

import argparse
import ast
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

import nbformat

from deepfm_helpers.chapters import RECORD_MIME
from deepfm_helpers.files import write_whole


class RunFailed(RuntimeError):
    """A notebook did not run to its end; the message holds the cell and its traceback."""


class Parameter(NamedTuple):
    """One line of a parameters cell: ``name: type = default  # help``."""

    name: str
    type: str
    default: str
    help: str


def allowed_parameters(notebook: str | Path) -> dict[str, Parameter]:
    """The parameters of a notebook by name, as papermill reads them from its parameters cell."""
    import papermill

    found = papermill.inspect_notebook(str(notebook))
    return {
        name: Parameter(name, p["inferred_type_name"], p["default"], p["help"]) for name, p in found.items()
    }


def run(
    notebook: str | Path,
    output: str | Path,
    parameters: dict[str, object] | None = None,
    *,
    timeout: int = 1800,
) -> dict[str, object]:
    """Execute ``notebook`` with ``parameters`` and write the executed notebook to ``output``.

    The kernel is this Python and works in the notebook's own folder. ``output`` is written at the end and in
    one step: a run that fails leaves whatever was there.

    Args:
        timeout: seconds that one cell may take.

    Returns:
        The recorded metrics, as :func:`records` reads them.

    Raises:
        ValueError: a parameter that the notebook does not have (papermill itself would ignore it).
        RunFailed: a cell raised, took too long or lost its kernel.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    notebook, output = Path(notebook).resolve(), Path(output).resolve()
    parameters = dict(parameters or {})
    allowed = allowed_parameters(notebook)
    if unknown := [name for name in parameters if name not in allowed]:
        known = ", ".join(allowed) or "none"
        raise ValueError(f"{notebook.name} has no parameter {', '.join(unknown)}; it has {known}")
    try:
        executed = papermill.execute_notebook(
            nbformat.read(notebook, as_version=4),
            None,
            parameters,
            kernel_name="python3",
            progress_bar=False,
            cwd=str(notebook.parent),
            execution_timeout=timeout,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )
    except papermill.PapermillExecutionError as error:
        trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
        raise RunFailed(f"{notebook.name}, cell [{error.exec_count}]: {trace}") from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise RunFailed(f"{notebook.name}: {error}") from None
    write_whole(output, nbformat.writes(clean(executed)) + "\n")
    return records(executed)


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what changes from run to run and says nothing: papermill's and the kernel's time stamps."""
    parameters = notebook.metadata.pop("papermill", {}).get("parameters")
    if parameters:
        notebook.metadata["papermill"] = {"parameters": parameters}
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
    return notebook


def records(notebook: str | Path | nbformat.NotebookNode) -> dict[str, object]:
    """The metrics that an executed notebook recorded, by name; of a name recorded twice, the last value."""
    if not isinstance(notebook, nbformat.NotebookNode):
        notebook = nbformat.read(notebook, as_version=4)
    found: dict[str, object] = {}
    for _, bundle in outputs_of(notebook, RECORD_MIME):
        found.update(bundle)
    return found


def outputs_of(notebook: nbformat.NotebookNode, mime: str):
    """Yield (cell, content) for every output of the type ``mime``, in the order of the page."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if mime in output.get("data", {}):
                yield cell, output["data"][mime]


def parse_value(text: str) -> object:
    """Read a parameter from a command line: a Python literal where it is one, otherwise the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def main(arguments: list[str] | None = None) -> int:
    """The command line: run one notebook, print what it recorded."""
    parser = argparse.ArgumentParser(
        prog="python -m deepfm_helpers.reruns", description=run.__doc__.split("\n")[0]
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path, nargs="?", help="where to write the executed notebook")
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument(
        "--help-notebook", action="store_true", help="list the notebook's parameters and stop"
    )
    options = parser.parse_args(arguments)
    try:
        if options.help_notebook:
            for p in allowed_parameters(options.notebook).values():
                print(f"{p.name}: {p.type} (default {p.default})  {p.help}")
            return 0
        if options.output is None:
            parser.error("the output path is missing")
        parameters = {name: parse_value(value) for name, value in options.parameter}
        started = time.perf_counter()
        metrics = run(options.notebook, options.output, parameters)
    except (RunFailed, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, value in metrics.items():
        print(f"{name} = {value}")
    print(f"{options.output}: {time.perf_counter() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

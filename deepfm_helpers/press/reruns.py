"""The command that reruns one notebook with other parameters, and prints what it recorded.

``python -m deepfm_helpers.press.reruns notebooks/07_training.ipynb out.ipynb -p seed 3 -p epochs 5`` does from a
shell what :func:`run` does from Python.
"""

import argparse
import ast
import sys
import time
from pathlib import Path
from typing import NamedTuple

from deepfm_helpers.parameters import PARAMETERS, check_parameters
from deepfm_helpers.press import kernels


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
    **how: object,
) -> dict[str, object]:
    """Execute ``notebook`` with ``parameters``, which are checked before anything runs; `kernels.run` gets ``how``.

    Raises:
        ValueError: a parameter that the notebook does not have (papermill itself would ignore it), or whose value
            is out of range.
        TypeError: a value of the wrong type.
        RunFailed: a cell raised, took too long or lost its kernel.
        OSError: ``output`` cannot be written.
    """
    parameters = dict(parameters or {})
    allowed = allowed_parameters(notebook)
    if unknown := [name for name in parameters if name not in allowed]:
        known = ", ".join(allowed) or "none"
        raise ValueError(f"{Path(notebook).name} has no parameter {', '.join(unknown)}; it has {known}")
    check_parameters(**{name: value for name, value in parameters.items() if name in PARAMETERS})
    return kernels.run(Path(notebook), Path(output), parameters, timeout, **how)


def parse_value(text: str) -> object:
    """Read a parameter from a command line: a Python literal where it is one, otherwise the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def main(arguments: list[str] | None = None) -> int:
    """The command line: run one notebook, print what it recorded."""
    parser = argparse.ArgumentParser(
        prog="python -m deepfm_helpers.press.reruns", description=__doc__.split("\n")[0]
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
    except (kernels.RunFailed, TypeError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, value in metrics.items():
        print(f"{name} = {value}")
    print(f"{options.output}: {time.perf_counter() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

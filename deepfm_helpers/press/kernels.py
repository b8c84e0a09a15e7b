"""Run a notebook from top to bottom in a kernel of this Python, with the environment of the press."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import nbformat
import psutil

from deepfm_helpers.fetching import cache_folder, data_folder
from deepfm_helpers.files import write_whole
from deepfm_helpers.parameters import told
from deepfm_helpers.records import RECORD_MIME

ENVIRONMENT = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # or else a figure is not an output
    "TF_CPP_MIN_LOG_LEVEL": "3",  # lines of native code are not output
    "PYTHONIOENCODING": "utf-8",
    "PYTHONUTF8": "1",
}
"""The variables that every kernel gets, whatever the terminal has set; `variables` adds the folders of the data."""

STARTS = 3
"""How many kernels are started for a run before it has failed: one that never answers has run nothing. Another program
may have taken a port that was meant for it, which happens where many kernels start at once."""


class RunFailed(RuntimeError):
    """Raised when a notebook does not run to its end; the message names the cell and holds its traceback."""


class Ran(NamedTuple):
    """What an executed notebook recorded, see :func:`metrics_of`, the processor time that it took, and whether its
    kernel was forked from another process, see `warm`."""

    metrics: dict[str, object]
    processor_seconds: float
    forked: bool


def run(
    notebook: Path,
    output: Path,
    parameters: dict[str, object],
    timeout: int,
    *,
    environment: dict[str, str] | None = None,
    manager: type | None = None,
) -> Ran:
    """Execute ``notebook`` with ``parameters`` and write the executed notebook to ``output``.

    The kernel is this Python and works in the notebook's own folder. ``output`` is written at the end and in one
    step: a run that fails leaves whatever was there. `reruns.run` checks the parameters; this function does not.

    Args:
        timeout: seconds that one cell may take.
        environment: further variables of the kernel, such as those that set numbers of threads.
        manager: a class of jupyter's asynchronous kernel managers, such as the one of a `warm.WarmParent` that was
            given the same ``environment``; by default each kernel is a new process.

    Raises:
        RunFailed: a cell raised, took too long or lost its kernel; or several kernels in a row did not answer.
        OSError: ``output`` cannot be written; this is checked before anything runs.
    """
    from jupyter_client.manager import AsyncKernelManager

    notebook, output = notebook.resolve(), output.resolve()
    _ask_for_room(output)
    starts = _measuring(of_this_python(manager or AsyncKernelManager, environment))
    for left in reversed(range(STARTS)):
        try:
            executed = _executed(notebook, parameters, timeout, starts)
            break
        except _NoAnswer as error:
            if not left:
                raise RunFailed(f"{notebook.name}: none of {STARTS} kernels answered: {error}") from None
    write_whole(output, _without_paths(nbformat.writes(clean(executed)), parameters) + "\n")
    return Ran(metrics_of(executed), starts.processor_seconds, starts.forked)


class _NoAnswer(RuntimeError):
    """Raised when a kernel ends, or is silent for a minute, before any cell has run."""


def _executed(
    notebook: Path, parameters: dict[str, object], timeout: int, manager: type
) -> nbformat.NotebookNode:
    """Return a notebook as it is after its cells have run in one new kernel."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    try:
        return papermill.execute_notebook(
            nbformat.read(notebook, as_version=4),
            None,
            parameters,
            kernel_name="python3",
            kernel_manager_class=manager,
            progress_bar=False,
            cwd=str(notebook.parent),
            execution_timeout=timeout,
            extra_arguments=[f"--IPKernelApp.log_level={logging.CRITICAL}"],
        )
    except papermill.PapermillExecutionError as error:
        trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
        raise RunFailed(f"{notebook.name}, cell [{error.exec_count}]: {trace}") from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise RunFailed(f"{notebook.name}: {error}") from None
    except RuntimeError as error:  # jupyter's, about a kernel that it cannot reach
        raise _NoAnswer(str(error)) from None


def _without_paths(text: str, parameters: dict[str, object]) -> str:
    """Return the text of a notebook with the name of a folder in place of its path, wherever the run has left it."""
    from papermill.translators import PythonTranslator

    for name, folder in told(parameters).items():
        if folder != (path := parameters[name]):
            for quoted in (
                PythonTranslator.translate,
                json.dumps,
                '"{}"'.format,
            ):  # as code, as JSON, as it is
                long, short = (_in_json(quoted(value)[1:-1]) for value in (path, folder))
                text = text.replace(long, short)
    return text


def _in_json(text: str) -> str:
    """Return a text as it stands between the quotes of a string in JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _measuring(manager: type) -> type:
    """Return a subclass of a class of asynchronous kernel managers that notes a kernel's processor time at its end."""

    class Measuring(manager):
        processor_seconds = math.nan
        forked = False

        async def shutdown_kernel(self, *args, **how):
            with suppress(psutil.Error):
                process = psutil.Process(self.provisioner.pid)
                used = process.cpu_times()
                Measuring.processor_seconds = used.user + used.system
                Measuring.forked = process.ppid() != os.getpid()
            await super().shutdown_kernel(*args, **how)

    return Measuring


def _ask_for_room(output: Path) -> None:
    """Raise OSError, with the reason, if no file can be written at ``output``."""
    if output.is_dir():
        raise IsADirectoryError(
            f"{output} is a folder: name the file to write, such as {output / 'out.ipynb'}"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(output.parent, os.W_OK):
        raise PermissionError(f"{output.parent} is not writable: name another folder, or change its rights")


def of_this_python(manager: type, environment: dict[str, str] | None = None) -> type:
    """Return a subclass of a class of kernel managers that starts this Python, whatever kernels are installed here."""
    from jupyter_client.kernelspec import KernelSpec

    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = KernelSpec(argv=command, display_name="Python 3", language="python", env=variables(environment))

    class ThisPython(manager):
        @property
        def kernel_spec(self) -> KernelSpec:
            return spec

    return ThisPython


def variables(environment: dict[str, str] | None = None) -> dict[str, str]:
    """Return the variables that a kernel gets besides those of the program that starts it.

    The folders of the data are absolute paths: a kernel works in another folder than the one it was started from.
    """
    named = {"DEEPFM_DATA": data_folder(), "DEEPFM_CACHE": cache_folder()}
    places = {variable: str(path) for variable, path in named.items() if path}
    return ENVIRONMENT | places | (environment or {})


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what changes from run to run without a meaning: papermill's and the kernel's time stamps."""
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


def as_python(source: str) -> str:
    """Return a cell as plain Python, with magics and shell commands turned into calls."""
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell(source)


def metrics_of(notebook: str | Path | nbformat.NotebookNode) -> dict[str, object]:
    """Return the metrics that an executed notebook recorded, by name; for a name recorded twice, the last value."""
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

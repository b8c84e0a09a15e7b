"""The command `deepfm`: run a notebook with other parameters, once or a hundred times, and look at the results.

`deepfm describe`, `fit`, `score`, `recommend`, `page` and `export` have another subject: a folder with data of one's
own.
"""

from __future__ import annotations

import argparse
import ast
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from deepfm_helpers.files import replacing, write_whole
from deepfm_helpers.own import commands as own_commands
from deepfm_helpers.press import reruns, warm
from deepfm_helpers.sweeps import plans, runs

EXPECTED = (ValueError, TypeError, KeyError, OSError, RuntimeError, ImportError, FloatingPointError)
"""Errors about which a person can do something; each ends the command with one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 only if all went well."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
    logging.basicConfig(format="%(message)s")
    warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)
    try:
        arguments, parameters = _taken_out(arguments)
        options = command_line().parse_args(arguments)
        if parameters and options.do is not _run:
            raise ValueError("-p belongs to deepfm run; a sweep takes --set name=value,value")
        options.parameters = parameters
        return options.do(options)
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # Python writes the rest out at its end
        return 0
    except EXPECTED as error:
        print(f"error: {_message(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what is finished stays", file=sys.stderr)
        return 130


def _message(error: BaseException) -> str:
    """Return an error as one line; a KeyError would put its message in quotes."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return runs.in_one_line(text or type(error).__name__)


def _taken_out(arguments: list[str]) -> tuple[list[str], dict[str, object]]:
    """Take ``-p NAME VALUE`` out, whatever VALUE looks like; argparse would read -1e-3 as an option."""
    rest, parameters, i = [], {}, 0
    while i < len(arguments):
        if arguments[i] not in ("-p", "--parameter"):
            rest.append(arguments[i])
            i += 1
            continue
        if len(arguments) < i + 3:
            raise ValueError(f"{arguments[i]} needs a name and a value")
        name, value = arguments[i + 1 : i + 3]
        if name in parameters:
            raise ValueError(f"-p {name} is given twice")
        parameters[name] = reruns.parse_value(value)
        i += 3
    return rest, parameters


def command_line() -> argparse.ArgumentParser:
    """Return the parser of what `deepfm` can be asked to do."""
    parser = argparse.ArgumentParser(prog="deepfm", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, do, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        sub.set_defaults(do=do)
        return sub

    sub = command("run", _run, "run a notebook with other parameters and print what it recorded")
    sub.add_argument("notebook", type=Path)
    sub.add_argument("output", type=Path, nargs="?", help="keep the executed notebook under this name")
    sub.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        metavar=("NAME", "VALUE"),
        help="a parameter and its value; may be given several times",
    )
    sub.add_argument("--list", action="store_true", help="list the notebook's parameters and stop")
    _setting(sub)

    sub = command("sweep", _sweep, "make all runs of a sweep file that are not finished")
    sub.add_argument("file", type=Path, help="a sweep file in YAML")
    sub.add_argument(
        "--folder", type=Path, help="where the runs are kept (default: sweeps/ and the file's name)"
    )
    sub.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=V,V",
        help="values for a parameter, in place of those in the file",
    )
    where = sub.add_mutually_exclusive_group()
    where.add_argument("--workers", type=_number, default=2, help="processes on this machine (default 2)")
    where.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler, such as tcp://host:8786")
    sub.add_argument(
        "--warm", action="store_true", help="fork kernels from a process that has loaded TensorFlow"
    )
    sub.add_argument("--dry-run", action="store_true", help="list the runs and stop")
    sub.add_argument("--retry-failed", action="store_true", help="make failed runs again")
    sub.add_argument("--stop-on-failure", action="store_true", help="end with the first run that fails")
    sub.add_argument(
        "--limit", type=_number, default=plans.LIMIT, help="refuse more runs than this (default 10000)"
    )
    _setting(sub)

    def of_folder(name: str, do, help: str) -> argparse.ArgumentParser:
        sub = command(name, do, help)
        sub.add_argument("folder", type=Path, help="the folder of a sweep")
        return sub

    of_folder("status", _status, "say which runs of a sweep are finished, failed or waiting")
    sub = of_folder("collect", _collect, "put the results of a sweep into one table, one row per run")
    sub.add_argument("--to", type=Path, help="write a .csv or .parquet file instead of printing")
    sub.add_argument("--mlflow", metavar="STORE", type=Path, help="write an MLflow file store")
    sub = of_folder(
        "compare", _compare, "compare settings over paired runs, or list what differs between two"
    )
    sub.add_argument("--runs", nargs=2, metavar="NAME", help="two runs: list all that differs between them")
    _what(sub)
    sub.add_argument("--pair", default="seed", help="the parameter that pairs runs (default seed)")
    sub.add_argument("--baseline", help="the value to compare the others with")
    sub = of_folder("plot", _plot, "draw a metric against parameters, and print the table behind the figure")
    _what(sub)
    sub.add_argument(
        "--to", type=Path, help="the file to draw, .svg, .png or .pdf (default: plot.svg in the folder)"
    )
    sub = command("describe", _describe, "read tables of your own, and say what a model would make of them")
    sub.add_argument("folder", type=Path, help="a folder with tables and, possibly, a dataset.toml")
    draft = sub.add_mutually_exclusive_group()
    draft.add_argument(
        "--layout", help="another description: a file, or movielens for ml-latest-small and ml-32m"
    )
    draft.add_argument(
        "--write",
        action="store_true",
        help="write the proposed dataset.toml into the folder, if there is none",
    )
    own_commands.add_to(command, _number)
    return parser


def _what(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--metric", help="a recorded number, such as test_rmse")
    sub.add_argument("--by", help="the parameter that differs, or several with commas")


def _setting(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--threads", type=_number, default=1, help="threads that compute in a run (default 1)")
    sub.add_argument(
        "--timeout", type=_number, default=1800, help="seconds that a cell may take (default 1800)"
    )


def _number(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return value


def _run(o: argparse.Namespace) -> int:
    if o.list:
        for p in reruns.declared(o.notebook).values():
            print(f"{p.name}: {p.annotation} (default {p.default!r})  {p.help}")
        return 0
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        output = o.output or Path(place) / o.notebook.name
        environment = runs.Setting(threads=o.threads).environment()
        metrics = reruns.run(o.notebook, output, o.parameters, timeout=o.timeout, environment=environment)
    for name, value in metrics.items():
        print(f"{name} = {value}")
    print(f"{o.output or o.notebook}: {time.perf_counter() - started:.1f} s")
    return 0


def _folder(o: argparse.Namespace) -> Path:
    return o.folder or Path("sweeps") / o.file.stem


def _sweep(o: argparse.Namespace) -> int:
    from deepfm_helpers.sweeps import engine

    plan = plans.Plan.read(o.file, _changes(o.set), o.limit)
    if o.dry_run:
        for name, label in plan.labels().items():
            state = "finished" if runs.is_finished(runs.folder_of(_folder(o), name)) else "to make"
            print(f"{name}  {state:<8}  {label}")
        print(f"{len(plan.runs)} runs in {_folder(o)}")
        return 0
    setting = runs.Setting(o.timeout, o.threads, o.warm)
    if o.warm and (reason := warm.why_not()):
        print(f"new kernels instead of warm ones: {reason}", file=sys.stderr)
    sys.unraisablehook = lambda _: None  # an event loop of Dask may complain while Python ends
    outcome = engine.run(
        plan,
        _folder(o),
        workers=o.workers,
        scheduler=o.scheduler,
        setting=setting,
        retry_failed=o.retry_failed,
        stop_on_failure=o.stop_on_failure,
        say=_on_one_line if sys.stdout.isatty() else print,
    )
    print(
        f"{len(outcome.before) + len(outcome.finished)} finished, {len(outcome.failed)} failed, "
        f"{outcome.seconds:.1f} s; in {_folder(o)}"
    )
    for name, error in outcome.failed.items():
        print(f"failed: {name}: {runs.in_one_line(error)}", file=sys.stderr)
    return 1 if outcome.failed else 0


def _on_one_line(line: str) -> None:
    """Show on a terminal each finished run in place of the one before; failures stay."""
    passing = line.startswith("[") and "  FAILED: " not in line and not line.endswith(" s")
    print(f"\r\x1b[K{line}", end="" if passing else "\n", flush=True)


def _changes(asked: list[str]) -> dict[str, list]:
    """Read the values of ``--set name=value,value``; commas inside brackets do not separate values."""
    changes: dict[str, list] = {}
    for text in asked:
        name, equals, values = text.partition("=")
        if not equals or not name.isidentifier() or not values:
            raise ValueError(f"--set {text}: write name=value, or name=value,value")
        if name in changes:
            raise ValueError(f"--set {name} is given twice")
        changes[name] = [reruns.parse_value(value) for value in _parted(values)]
    return changes


def _parted(text: str) -> list[str]:
    try:  # brackets and quotes as Python reads them
        tree = ast.parse(f"({text},)", mode="eval").body
        return [ast.get_source_segment(f"({text},)", element) for element in tree.elts]
    except SyntaxError:
        return text.split(",")


def _status(o: argparse.Namespace) -> int:
    states = runs.status(o.folder)
    for state in runs.STATES:
        print(f"{sum(found == state for found in states.values()):6} {state}")
    for name, error in runs.failed(o.folder).items():
        print(f"failed: {name}: {runs.in_one_line(error)}")
    return 0


def _collect(o: argparse.Namespace) -> int:
    from deepfm_helpers.sweeps import results

    frame = results.collect(o.folder)
    if o.mlflow:
        print(f"{results.to_mlflow(o.folder, o.mlflow)} runs in the MLflow store {o.mlflow}")
    if o.to:
        results.write(frame, o.to)
        print(f"{o.to}: {len(frame)} runs, {len(frame.columns)} columns")
    elif not o.mlflow:
        print(frame.to_csv(index=False), end="")
    return 0


def _by(o: argparse.Namespace) -> list[str]:
    if not o.metric or not o.by:
        raise ValueError("--metric and --by are needed, such as --metric test_rmse --by k")
    return o.by.split(",")


def _compare(o: argparse.Namespace) -> int:
    from deepfm_helpers.sweeps import results

    if o.runs:
        found = results.differences(*(runs.folder_of(o.folder, name) for name in o.runs))
        print("nothing differs" if found.empty else found.to_string(index=False))
        return 0
    baseline = None if o.baseline is None else reruns.parse_value(o.baseline)
    print(results.compare(o.folder, o.metric, _by(o), pair=o.pair, baseline=baseline).to_string())
    return 0


def _plot(o: argparse.Namespace) -> int:
    from deepfm_helpers.sweeps import results

    axes, table = results.plot(o.folder, o.metric, _by(o))
    target = o.to or o.folder / "plot.svg"
    kinds = axes.figure.canvas.get_supported_filetypes()
    if target.suffix[1:] not in kinds:
        raise ValueError(f"{target}: cannot draw a file of this kind; choose from {', '.join(sorted(kinds))}")
    with replacing(target) as part:
        axes.figure.savefig(part, bbox_inches="tight")
    print(table.to_string())
    print(target)
    return 0


def _describe(o: argparse.Namespace) -> int:
    from deepfm_helpers.own import accounts, data, guessing, layouts

    layout, path = o.layout, o.folder / layouts.FILE
    if o.write and path.exists():
        raise ValueError(
            f"{path} exists and stays as it is; remove it first, or call deepfm describe without --write"
        )
    if not layout and not path.exists():
        layout = guessing.propose(o.folder)
        print(f"# {path} does not exist; this is a guess, to be corrected by somebody who knows the data\n")
        print(layout.written())
        if o.write:
            write_whole(path, layout.written())
            print(f"# written to {path}\n")
            layout = None
    print(accounts.account(data.read(o.folder, layout)))
    if path.exists() and not o.layout:
        print(f"\nnext: deepfm fit {o.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

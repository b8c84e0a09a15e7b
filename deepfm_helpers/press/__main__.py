"""The driver behind the Makefile: fetches data, executes notebooks, builds, checks and prints pages, stores results."""

import argparse
import logging
import sys
import time
from pathlib import Path

from deepfm_helpers import datasets
from deepfm_helpers.files import InUse, only_one
from deepfm_helpers.parameters import PARAMETERS
from deepfm_helpers.press import addresses, executing, live, printing, site, train
from deepfm_helpers.press.checkout import DEFAULT, HERE, BuildFailed, Checkout


def load_data(dataset: str) -> datasets.MovieLens:
    """Find or fetch ``dataset``, verify it, and say where it comes from."""
    data = datasets.load(dataset)
    print(f"{len(data.ratings):,} ratings; {describe(data)}", flush=True)
    return data


def describe(data) -> str:
    """Return name, source and fingerprint of a dataset in one line."""
    return f"{data.name} ({data.provenance.source}), fingerprint {data.provenance.fingerprint[:12]}"


def book(here: Checkout, data, workers: int) -> Path:
    """Execute every chapter on ``data`` and build the book from them; a second call redoes only what changed.

    Returns:
        The path of ``index.html``.
    """
    place = here.built / data.name
    started = time.perf_counter()

    def after(step: str) -> None:
        print(f"-- {step} after {time.perf_counter() - started:.1f} s", flush=True)

    executed = executing.executed_chapters(here, data.name, data.provenance.fingerprint, place, workers)
    after("chapters")
    script = live.script(here, data, place / "live")
    after("model of the page live")
    site.stage(here, place / "source", executed, f"Executed on {describe(data)}.")
    live.place(script, place / "source")
    index = site.build(here, place)
    after("pages")
    print(f"data: {describe(data)}\nbook: {index.relative_to(here.root).as_posix()}\n      {index.as_uri()}")
    return index


def command_line() -> argparse.ArgumentParser:
    """Return the parser of what the driver can be asked to do."""
    parser = argparse.ArgumentParser(prog="python -m deepfm_helpers.press", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, help: str, *, notebooks: bool = False, dataset: str | None = None):
        sub = commands.add_parser(name, help=help)
        if notebooks:
            sub.add_argument(
                "notebooks", nargs="*", metavar="NN", help="which ones, such as 04; all by default"
            )
        if notebooks or name == "book":
            sub.add_argument("--jobs", type=int, default=2, help="notebooks at a time (default 2)")
        if dataset:
            sub.add_argument("--dataset", default=dataset, choices=PARAMETERS["dataset"].choices)
        return sub

    command("data", "find or fetch a dataset and verify it", dataset=DEFAULT)
    command("book", "execute the chapters and build the pages", dataset=DEFAULT)
    command("stored", "build the pages from the stored outputs")
    command("pdf", "print the book with its stored outputs")
    command("execute", "regenerate the stored outputs", notebooks=True)
    command("launch", "copy the notebooks, with a first cell that fetches this book on Colab")
    command("live", "regenerate the stored model of the page live")
    command("train", "draw the ratings of the page train again")
    return parser


def do(here: Checkout, o: argparse.Namespace) -> None:
    """Do what the command line asks for."""

    def made(what: str, path: Path) -> None:
        print(f"{what}: {path.relative_to(here.root).as_posix()}")

    match o.command:
        case "data":
            load_data(o.dataset)
        case "book":
            book(here, load_data(o.dataset), o.jobs)
        case "stored":
            made("stored outputs", site.stored(here))
        case "pdf":
            made("book", site.pdf(here))
        case "launch":
            made("notebooks", addresses.launch_copies(here))
        case "execute":
            executing.store_outputs(here, o.notebooks, o.jobs)
            if not o.notebooks:
                live.store(here)
                train.store(here)
        case "live":
            live.store(here)
        case "train":
            train.store(here)


def main(arguments: list[str] | None = None, here: Checkout = HERE) -> int:
    """Run the command line; return 0 only if all went well."""
    o = command_line().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a terminal may not know every character of a message
    logging.basicConfig(format="%(message)s")
    logging.getLogger("deepfm_helpers").setLevel(logging.INFO)  # shows the progress of a download
    try:
        with only_one(here.built):
            do(here, o)
    except InUse as error:
        print(f"error: another build is running (pid {error.owner})", file=sys.stderr)
        return 1
    except (BuildFailed, printing.NoBrowser, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The driver behind the Makefile: fetch the data, execute the notebooks, build the pages, check them.

``python -m deepfm_helpers.build --help`` lists what it does. It works on the checkout that it is part of.
"""

import argparse
import ast
import hashlib
import json
import logging
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import nbformat

from deepfm_helpers import chapters, checks, printing, reruns
from deepfm_helpers.files import write_whole

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "_build"
LIVE = Path("book", "_static", "live", "model.js")
DEFAULT = "ml-100k"  # the data of the stored outputs: what every notebook says in its parameters cell


class BuildFailed(RuntimeError):
    """Something that the message explains went wrong; nothing half-made was left in place."""


class Job(NamedTuple):
    """One notebook to execute: from where, to where, with what."""

    notebook: Path
    output: Path
    parameters: dict[str, object]

    def label(self) -> str:
        """The notebook and the parameters that differ from its own, for a progress line."""
        others = [f"{name}={value}" for name, value in self.parameters.items() if name != "dataset"]
        return " ".join([self.notebook.stem, *others])


def select(names: Iterable[str] = ()) -> list[Path]:
    """The notebooks that ``names`` mean (``04``, ``04_second_order`` or a path); all, without names."""
    every = sorted(NOTEBOOKS.glob("*.ipynb"))
    if not names:
        return every
    chosen = []
    for name in names:
        stem = Path(name).stem
        found = [path for path in every if path.stem == stem or path.stem.startswith(f"{stem}_")]
        if len(found) != 1:
            known = ", ".join(path.stem for path in every)
            raise BuildFailed(f"no single notebook is called {name}; there are {known}")
        chosen += found
    return chosen


def run_all(jobs: list[Job], workers: int) -> Iterator[tuple[Job, dict[str, object], float]]:
    """Execute ``jobs``, up to ``workers`` at a time, with a line of progress each.

    Yields:
        (job, recorded metrics, seconds), as they finish.

    Raises:
        BuildFailed: at the end, when one of them failed; the others have been yielded.
    """
    if not jobs:
        return
    failures = []
    width = max(len(job.label()) for job in jobs)
    # a fresh process per worker: papermill changes the working directory, which threads would share
    with ProcessPoolExecutor(max(1, min(workers, len(jobs))), multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(_run, job): job for job in jobs}
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                job = futures[future]
                head = f"[{done}/{len(jobs)}] {job.label():<{width}}"
                if error := future.exception():
                    failures.append(job.label())
                    print(f"{head}  FAILED\n{error}", flush=True)
                    continue
                metrics, seconds = future.result()
                print(f"{head} {seconds:6.1f} s", flush=True)
                yield job, metrics, seconds
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failures:
        raise BuildFailed(f"{len(failures)} of {len(jobs)} notebooks failed: {', '.join(failures)}")


def _run(job: Job) -> tuple[dict[str, object], float]:
    started = time.perf_counter()
    draft = job.output.with_suffix(".draft")  # until it has been checked
    metrics = reruns.run(job.notebook, draft, job.parameters)
    refuse(checks.notebook_problems(draft), f"{job.notebook.name} ran, but may not be shown")
    draft.replace(job.output)
    return metrics, time.perf_counter() - started


def refuse(problems: list[str], what: str) -> None:
    """Raise BuildFailed with ``what`` and the ``problems`` below it, if there are any."""
    if problems:
        raise BuildFailed("\n  ".join([f"{what}:", *problems]))


def execute(names: Iterable[str] = (), workers: int = 2) -> None:
    """Regenerate the stored outputs of the notebooks, and the ledger of claims that follows from them."""
    before = {path: path.read_bytes() for path in select(names)}
    jobs = [Job(path, BUILD / "execute" / path.name, {}) for path in before]
    edited = []
    try:
        for job, _, _ in run_all(jobs, workers):
            if job.notebook.read_bytes() == before[job.notebook]:
                job.output.replace(job.notebook)
            else:
                edited.append(job.notebook.stem)
    finally:
        write_whole(ROOT / "book" / "ledger.md", ledger(select()))
    if edited:
        raise BuildFailed(f"outputs not stored, because they were edited meanwhile: {', '.join(edited)}")


def ledger(notebooks: Iterable[Path]) -> str:
    """The page that lists every claim of the executed ``notebooks`` with the expression that must be true."""
    lines = [
        "# The ledger of claims",
        "",
        "Every claim that a chapter makes about the data or the model stands here with the expression that",
        "has to be true for it. Each is checked whenever its chapter runs: if it does not hold, the notebook",
        "stops, and with it the build of the book. The page is generated from the executed chapters.",
    ]
    total = 0
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        claims = [
            (content["statement"], _check_of(cell.source, content["line"]))
            for cell, content in reruns.outputs_of(notebook, chapters.CLAIM_MIME)
        ]
        total += len(claims)
        if claims:
            title = notebook.cells[0].source.splitlines()[0].removeprefix("# ")
            lines += ["", f"## [{title}](../notebooks/{path.name})", ""]
            lines += [f"1. {statement}  \n   {check}" for statement, check in claims]
    return "\n".join([*lines, "", f"Claims in all: {total}.", ""])


def _check_of(source: str, line: int) -> str:
    """The second argument of the ``claim`` on ``line`` of a cell, as inline code."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a cell with IPython magic
        tree = ast.Module([], [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.lineno <= line <= node.end_lineno:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            values = node.args[1:2] or [k.value for k in node.keywords if k.arg == "holds"]
            if name == "claim" and values:
                return f"`` {ast.unparse(values[0])} ``"
    return "checked in the cell that states it"


def make_records(names: Iterable[str], dataset: str, seeds: list[int], workers: int) -> None:
    """Run the notebooks that record something once per seed and store what they recorded in ``records/``."""
    data = load_data(dataset)
    chosen = [path for path in select(names) if names or _records_something(path)]
    jobs = [
        Job(path, BUILD / "record" / f"{path.stem}-{seed}.ipynb", {"dataset": dataset, "seed": seed})
        for path in chosen
        for seed in seeds
    ]
    for job, metrics, seconds in run_all(jobs, workers):
        if metrics:
            _add_to_record(job, metrics, seconds, data.provenance.fingerprint)
        else:
            print(f"    {job.notebook.stem} recorded nothing", flush=True)


def _records_something(path: Path) -> bool:
    cells = nbformat.read(path, as_version=4).cells
    return any(cell.cell_type == "code" and "record(" in cell.source for cell in cells)


def _add_to_record(job: Job, metrics: dict, seconds: float, fingerprint: str) -> None:
    """Put one run into its notebook's record; runs of other data or other versions leave it."""
    name = job.notebook.stem
    path = ROOT / "deepfm_helpers" / "records" / f"{name}.json"
    head = {
        "notebook": name,
        "dataset": job.parameters["dataset"],
        "fingerprint": fingerprint,
        "versions": chapters.versions(),
    }
    old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    runs = old.get("runs", []) if all(old.get(key) == value for key, value in head.items()) else []
    runs = [run for run in runs if run["parameters"] != job.parameters]
    runs.append({"parameters": job.parameters, "metrics": metrics, "seconds": round(seconds, 1)})
    runs.sort(key=lambda run: run["parameters"]["seed"])
    text = json.dumps(_shortened(head | {"runs": runs}), indent=1, sort_keys=True, ensure_ascii=False)
    write_whole(path, text + "\n")


def _shortened(value: object) -> object:
    """``value`` with every float cut to six significant digits, which is what a float32 model can mean."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    return value


def load_data(dataset: str):
    """Find or fetch ``dataset``, verify it, and say where it comes from."""
    from deepfm_helpers import datasets

    data = datasets.load(dataset)
    print(f"{len(data.ratings):,} ratings; {describe(data)}", flush=True)
    return data


def describe(data) -> str:
    """Name, source and fingerprint of a dataset in one line."""
    return f"{data.name} ({data.provenance.source}), fingerprint {data.provenance.fingerprint[:12]}"


class Clock:
    """Seconds per step, printed at the end as a table."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the body under ``name``."""
        started = time.perf_counter()
        print(f"-- {name}", flush=True)
        yield
        self.steps[name] = time.perf_counter() - started

    def table(self) -> str:
        """One line per step and their sum."""
        rows = [*self.steps.items(), ("all", sum(self.steps.values()))]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"  {name:<{width}} {seconds:7.1f} s" for name, seconds in rows)


def book(dataset: str, workers: int) -> Path:
    """Execute every chapter on ``dataset`` and build the book from them.

    An executed chapter is kept under a key made of all that it depends on, so a second call redoes only what
    changed. The finished site replaces the last one in a single step, after every check has passed.

    Returns:
        The path of ``index.html``.
    """
    chapters.check_parameters(dataset=dataset)
    place = BUILD / dataset
    clock = Clock()
    with clock.step("data"):
        data = load_data(dataset)
    with clock.step("chapters"):
        executed = _executed_chapters(dataset, data.provenance.fingerprint, place / "executed", workers)
    with clock.step("model of the page live"):
        script = _live_script(data, place / "live")
    with clock.step("pages"):
        stage(place / "source", executed, f"Executed on {describe(data)}.")
        if script:
            shutil.copy2(script, place / "source" / LIVE)
        index = _pages(place)
    print(clock.table())
    print(f"data: {describe(data)}\nbook: {index.relative_to(ROOT).as_posix()}\n      {index.as_uri()}")
    return index


def _executed_chapters(dataset: str, fingerprint: str, cache: Path, workers: int) -> list[Path]:
    # the notebooks' own default is not injected again, so that the page shows no second parameters cell
    every = chapter_jobs({} if dataset == DEFAULT else {"dataset": dataset}, fingerprint, cache)
    due = [job for job in every if not job.output.is_file()]
    print(f"{len(every) - len(due)} of {len(every)} chapters are up to date", flush=True)
    for _ in run_all(due, workers):
        pass  # each announces itself and takes its place in the cache
    executed = [job.output for job in every]
    for old in set(cache.glob("*")) - {path.parent for path in executed}:
        shutil.rmtree(old)
    return executed


def chapter_jobs(parameters: dict[str, object], fingerprint: str, cache: Path) -> list[Job]:
    """The chapters of the table of contents, each with a place in ``cache`` named after all it depends on."""
    common = [parameters, fingerprint, chapters.versions(), _helpers()]
    jobs = []
    for entry in checks.toc_entries(ROOT / "_toc.yml"):
        path = ROOT / f"{entry}.ipynb"
        if path.is_file():
            cells = nbformat.read(path, as_version=4).cells
            content = [(cell.cell_type, cell.source, cell.metadata) for cell in cells]
            jobs.append(Job(path, cache / _key(path.stem, content, common) / path.name, parameters))
    return jobs


def _live_script(data, cache: Path) -> Path | None:
    """The trained model of the page `book/live` as a script, kept under a key; None if there is no such page."""
    if "book/live" not in checks.toc_entries(ROOT / "_toc.yml"):
        return None
    script = cache / _key(data.provenance.fingerprint, chapters.versions(), _helpers()) / LIVE.name
    if not script.is_file():
        from deepfm_helpers import live

        shutil.rmtree(cache, ignore_errors=True)
        live.train_and_export(data, script)
    return script


def store_live() -> None:
    """Regenerate the model of planted data that the page `book/live` uses without a build, and its two figures."""
    from deepfm_helpers import datasets, live

    exported = live.train_and_export(datasets.planted(**live.STORED), ROOT / LIVE)
    live.draw(exported, ROOT / LIVE.with_name("waterfall.svg"))
    live.draw(exported, ROOT / LIVE.with_name("summary.svg"), small=True)
    print(f"{LIVE.as_posix()}: {(ROOT / LIVE).stat().st_size / 1e3:.0f} kB", flush=True)


def _helpers(edge: Iterable[str] = ("build.py", "checks.py", "pages.py", "printing.py")) -> list[tuple]:
    """The contents of every helper file that a chapter can import or read: all but those at the ``edge``."""
    package = ROOT / "deepfm_helpers"
    paths = sorted([*package.glob("*.py"), *package.glob("records/*.json")])
    return [(path.name, path.read_text(encoding="utf-8")) for path in paths if path.name not in edge]


def _key(*content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def stage(source: Path, executed: Iterable[Path], footer: str = "") -> None:
    """Lay out in ``source`` what Jupyter Book reads: settings, prose and the executed chapters."""
    import yaml

    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT / "book", source / "book")
    shutil.copy2(ROOT / "_toc.yml", source)
    (source / "notebooks").mkdir()
    executed = list(executed)
    for path in executed:
        shutil.copy2(path, source / "notebooks")
    write_whole(source / "book" / "ledger.md", ledger(executed))
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config["html"] = config.get("html", {}) | {"extra_footer": f"<p>{footer}</p>" if footer else ""}
    if address := site_url():
        config["html"]["baseurl"] = address
    if url := repository_url():
        prepared = os.environ.get("DEEPFM_LAUNCH_BRANCH")  # its notebooks are those of `launch_copies`
        branch = prepared or _git("rev-parse", "--abbrev-ref", "HEAD") or "main"
        config["repository"] = {"url": url, "branch": branch}
        config["html"] |= {"use_repository_button": True, "use_issues_button": True}
        if "//github.com/" in url:
            launchers = {"notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org"}
            colab = {"colab_url": "https://colab.research.google.com"} if prepared else {}
            config["launch_buttons"] = launchers | colab
    write_whole(source / "_config.yml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def launch_copies() -> Path:
    """Copies of the notebooks for Colab, whose machines do not know this book: their first code fetches it.

    Raises:
        BuildFailed: the address of the repository is not known.
    """
    url = repository_url()
    if url is None:
        raise BuildFailed("no address to fetch this book from: name it in DEEPFM_REPOSITORY_URL")
    source = f"""\
import sys

if "google.colab" in sys.modules:
    !git clone --quiet --depth 1 {url} /content/book
    %pip install --quiet pooch papermill
    sys.path.insert(0, "/content/book")"""
    folder = BUILD / "launch"
    folder.mkdir(parents=True, exist_ok=True)
    for path in select():
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.insert(1, nbformat.v4.new_code_cell(source, id="on-colab"))
        write_whole(folder / path.name, nbformat.writes(notebook))
    return folder


def repository_url() -> str | None:
    """The public address of this repository, from DEEPFM_REPOSITORY_URL or the git remote; None if unknown.

    Only hosts that the theme can link to count, and a user name or token in the remote is left out.
    """
    remote = os.environ.get("DEEPFM_REPOSITORY_URL") or _git("remote", "get-url", "origin")
    match = re.match(
        r"(?:https?://|ssh://|git@)(?:[^/@]*@)?(github\.com|gitlab\.com|bitbucket\.org)[/:]([\w.-]+/[\w.-]+?)(?:\.git)?/?$",
        remote,
    )
    return f"https://{match.group(1)}/{match.group(2)}" if match else None


def site_url() -> str | None:
    """The public address of the pages, from DEEPFM_SITE_URL or GitHub's rule for its Pages; None if unknown."""
    if address := os.environ.get("DEEPFM_SITE_URL"):
        return address.rstrip("/") + "/"
    match = re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+)", repository_url() or "")
    if not match:
        return None
    owner, name = match.groups()
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:  # no git here, or not a checkout
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _pages(place: Path) -> Path:
    """Build the staged source of ``place`` into ``place/html``, unless it is there already."""
    html, part = place / "html", place / "html.part"
    done = place / "html.key"
    sources = sorted(path for path in (place / "source").rglob("*") if path.is_file())
    key = _key([(str(path), _digest(path)) for path in sources], _helpers(edge=()))
    if html.is_dir() and done.is_file() and done.read_text() == key:
        print("the pages are up to date", flush=True)
        return html / "index.html"
    done.unlink(missing_ok=True)
    shutil.rmtree(part, ignore_errors=True)
    sphinx(place / "source", part)
    refuse(
        checks.site_problems(part / "_build" / "html", place / "source" / "_toc.yml"),
        "the built pages are not right",
    )
    shutil.rmtree(html, ignore_errors=True)
    (part / "_build" / "html").replace(html)
    shutil.rmtree(part)
    done.write_text(key)
    return html / "index.html"


def stored() -> Path:
    """Build the pages from the outputs stored in ``notebooks/``, executing nothing, and check them."""
    place = BUILD / "stored"
    shutil.rmtree(place, ignore_errors=True)
    sphinx(ROOT, place)
    html = place / "_build" / "html"
    refuse(checks.site_problems(html, ROOT / "_toc.yml"), "the built pages are not right")
    return html / "index.html"


def pdf() -> Path:
    """Print the whole book, from the stored outputs, as one PDF.

    Returns:
        The path of the PDF.
    """
    place, output = BUILD / "pdf", BUILD / "deepfm_taken_apart.pdf"
    shutil.rmtree(place, ignore_errors=True)
    sphinx(ROOT, place, "singlehtml")
    single = place / "_build" / "singlehtml"
    # the page is written beside the book's first one, and names its files as if it lay at the root
    whole = (single / f"{checks.toc_entries(ROOT / '_toc.yml')[0]}.html").replace(single / "whole.html")
    with printing.chromium() as browser:
        printing.book(browser, whole, output)
    return output


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sphinx(source: Path, output: Path, builder: str = "html") -> None:
    """Run Jupyter Book strictly: a warning, a broken reference or a page outside the contents is an error."""
    command = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    strict = ["build", str(source), "--path-output", str(output), "--builder", builder]
    strict += ["-W", "-n", "--keep-going", "--all"]
    done = subprocess.run(
        [sys.executable, "-c", command, *strict],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines()
        said = [line for line in lines if re.search(r"WARNING|ERROR|CRITICAL|Error: ", line)] or lines[-30:]
        raise BuildFailed("Jupyter Book found:\n" + "\n".join(said))


def serve(dataset: str | None, port: int) -> None:
    """Serve the book built last (or the one built on ``dataset``) on this machine only, until interrupted."""
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    built = sorted(BUILD.glob(f"{dataset or '*'}/html/index.html"), key=lambda path: path.stat().st_mtime)
    if not built:
        raise BuildFailed("no book to serve yet: run `make book`")
    handler = partial(SimpleHTTPRequestHandler, directory=str(built[-1].parent))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"http://127.0.0.1:{server.server_port}/  (Ctrl-C stops it)", flush=True)
        server.serve_forever()


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns 0 only if all went well."""
    parser = argparse.ArgumentParser(prog="python -m deepfm_helpers.build", description=__doc__)
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
            sub.add_argument("--dataset", default=dataset, choices=chapters.PARAMETERS["dataset"].choices)
        return sub

    command("data", "find or fetch a dataset and verify it", dataset=DEFAULT)
    command("book", "execute the chapters and build the pages", dataset=DEFAULT)
    command("stored", "build the pages from the stored outputs")
    command("pdf", "print the book with its stored outputs")
    command("execute", "regenerate the stored outputs", notebooks=True)
    command("launch", "copy the notebooks, with a first cell that fetches this book on Colab")
    command("live", "regenerate the stored model of the page live")
    sub = command("record", "store the figures of the large dataset", notebooks=True, dataset="ml-1m")
    sub.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    sub = command("serve", "show the last built book in a browser")
    sub.add_argument("--dataset", choices=chapters.PARAMETERS["dataset"].choices)
    sub.add_argument("--port", type=int, default=8000)

    o = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("deepfm_helpers").setLevel(logging.INFO)  # how a download goes
    try:
        match o.command:
            case "data":
                load_data(o.dataset)
            case "book":
                book(o.dataset, o.jobs)
            case "stored":
                print(f"stored outputs: {stored().relative_to(ROOT).as_posix()}")
            case "pdf":
                print(f"book: {pdf().relative_to(ROOT).as_posix()}")
            case "launch":
                print(f"notebooks: {launch_copies().relative_to(ROOT).as_posix()}")
            case "execute":
                execute(o.notebooks, o.jobs)
                if not o.notebooks:
                    store_live()
            case "live":
                store_live()
            case "record":
                make_records(o.notebooks, o.dataset, o.seeds, o.jobs)
            case "serve":
                serve(o.dataset, o.port)
    except (BuildFailed, printing.NoBrowser, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Check a stored notebook and a built site before anyone sees them."""

import json
import re
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat

from deepfm_helpers.lacking import LEFT_OUT_MIME
from deepfm_helpers.press.checkout import HERE, toc_entries
from deepfm_helpers.press.equations import equation_problems, labels_of

LARGEST = 1_000_000  # bytes of a stored notebook
_PRIVATE = re.compile(r"(?<![\w./:-])/(?:home|Users|root|tmp|var/folders)/\w|\b[A-Z]:\\\\?Users\\")
_BESIDES = re.compile(r"(_modules|_static)/|(404|genindex|search|py-modindex)\.html")  # what Sphinx adds
_CSS_URL = re.compile(r"""(?:url\(|@import)\s*['"]?((?:https?:)?//[^'")\s]+)""")
_DRAWN = {"image/svg+xml", "image/png", "image/jpeg", "text/html", LEFT_OUT_MIME}
_ERROR_MARKER = "papermill-error-cell-tag"


def notebook_problems(path: str | Path) -> list[str]:
    """List what is wrong with an executed notebook, one sentence each; nothing, if it may be stored or shown."""
    path = Path(path)
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    problems = []
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        problems.append(f"is not a valid notebook: {error.message}")
    if path.stat().st_size > LARGEST:
        problems.append(f"{path.stat().st_size / 1e6:.1f} MB; a stored notebook stays below 1 MB")
    if not any("parameters" in cell.metadata.get("tags", []) for cell in code):
        problems.append("no cell is tagged parameters")
    if not notebook.cells or not notebook.cells[0].source.startswith("# "):
        problems.append("the first cell is not the title")
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        problems.append("the execution counts are not 1 to n: not one run from top to bottom")
    for cell in notebook.cells:
        if _ERROR_MARKER in cell.metadata.get("tags", []):
            problems.append("holds papermill's marker of a failed cell")
        if stamps := [key for key in ("papermill", "execution") if key in cell.metadata]:
            problems.append(f"a cell keeps the time stamps of its run ({', '.join(stamps)})")
    for cell in code:
        where = f"cell [{cell.execution_count}]"
        shown = [output for output in cell.outputs if "data" in output]
        if "figure" in cell.metadata.get("mystnb", {}) and len(shown) > 1:
            problems.append(
                f"{where} has a figure caption and {len(shown)} outputs; give the figure its own cell"
            )
        if "figure" in cell.metadata.get("mystnb", {}) and not any(_DRAWN & set(o["data"]) for o in shown):
            problems.append(f"{where} has a figure caption and no figure")
        for output in cell.outputs:
            if output.output_type == "error":
                problems.append(f"{where} failed: {output.ename}: {output.evalue}")
            if output.get("name") == "stderr":
                problems.append(f"{where} wrote to stderr: {output.text.strip().splitlines()[0]}")
            text = _text_of(output)
            if found := _machine_path(text):
                problems.append(f"{where} shows a path of this machine: {found}")
            if "<dc:date>" in text:
                problems.append(f"{where} holds an SVG with its date; save it with metadata={{'Date': None}}")
    return problems + equation_problems(notebook, labels_of(notebook))


def _text_of(output: nbformat.NotebookNode) -> str:
    data = {
        mime: value
        for mime, value in output.get("data", {}).items()
        if mime not in ("image/png", "image/jpeg")
    }
    return output.get("text", "") + "\n".join(
        v if isinstance(v, str) else json.dumps(v) for v in data.values()
    )


def _machine_path(text: str) -> str | None:
    for folder in (HERE.root, Path.home(), Path(tempfile.gettempdir())):
        if len(folder.parts) > 1 and re.search(re.escape(str(folder)) + r"[/\\]", text):
            return str(folder)
    match = _PRIVATE.search(text)
    return match.group(0) if match else None


def site_problems(html: str | Path, toc: str | Path) -> list[str]:
    """List what is wrong with a built site, one sentence each; nothing, if it may be published.

    Its pages must be those of the table of contents, no page may hold a failed cell, every link inside the
    site must lead somewhere, and nothing that a page needs to render may come from another host.
    """
    html = Path(html)
    pages = {path.relative_to(html).as_posix() for path in html.rglob("*.html")}
    pages = {page for page in pages if not _BESIDES.match(page)}
    wanted = {f"{entry}.html" for entry in toc_entries(toc)} | {"index.html"}  # which leads to the root page
    problems = [f"{page}: in the table of contents, not among the pages" for page in sorted(wanted - pages)]
    problems += [f"{page}: a page outside the table of contents" for page in sorted(pages - wanted)]
    parsed = {}
    for path in [html / page for page in sorted(pages)]:
        parsed[path.resolve()] = _Page(path.read_text(encoding="utf-8"))
    for path, page in parsed.items():
        name = path.relative_to(html.resolve()).as_posix()
        problems += [f"{name}: {problem}" for problem in page.problems]
        for url in page.links:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc or not (parts.path or parts.fragment):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                problems.append(f"{name}: leads to {url}, which does not exist")
            elif parts.fragment and target in parsed and unquote(parts.fragment) not in parsed[target].ids:
                problems.append(f"{name}: leads to {url}, where there is no such place")
    for path in sorted(html.rglob("*.css")):
        for match in _CSS_URL.finditer(path.read_text(encoding="utf-8")):
            problems.append(f"{path.relative_to(html).as_posix()}: needs {match.group(1)} from elsewhere")
    return problems


class _Page(HTMLParser):
    """What :func:`site_problems` has to know about a page: its links, its anchors, its own problems."""

    _LOADED = {"script", "img", "iframe", "source", "video", "embed"}
    _FETCHED = {"stylesheet", "preload", "modulepreload", "icon"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.problems: list[str] = []
        self._script = False
        self.feed(text)
        if "papermill-error-cell" in self.ids:
            self.problems.append("holds papermill's marker of a failed cell")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids.add(found.get("id", ""))
        loaded = found.get("src", "") if tag in self._LOADED else ""
        if tag == "link" and self._FETCHED & set(found.get("rel", "").split()):
            loaded = found.get("href", "")
        elif tag in ("a", "link"):
            self.links.append(found.get("href", ""))
        if loaded:
            self.links.append(loaded)
        if re.match(r"(https?:)?//", loaded):
            self.problems.append(f"needs {loaded} from elsewhere")
        if "traceback" in found.get("class", "").split():
            self.problems.append("shows a failed cell")
        self._script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if self._script:
            for url in re.findall(r"(?:import\s*\(?|from|src\s*=)\s*['\"](https?://[^'\"]+)", data):
                self.problems.append(f"a script needs {url} from elsewhere")

"""Find and start Chromium, and print the book with it as one PDF."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
ADVICE = """\
install one (`apt-get install chromium`, `brew install --cask chromium`, or Chrome itself), or let Playwright
fetch its own with `python -m playwright install chromium`, or name the program in DEEPFM_CHROMIUM"""
QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
]


class NoBrowser(RuntimeError):
    """Raised when there is no Chromium to start; the message says what to install."""


@contextmanager
def chromium() -> Iterator:
    """Start Chromium without a window and yield it as a Playwright browser.

    The program is the one that DEEPFM_CHROMIUM names, else the first of :data:`NAMES` on the path, else the one that
    Playwright has fetched.

    Raises:
        NoBrowser: Chromium does not start or is not there, or Playwright is not installed.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise NoBrowser('no Playwright here: `make setup`, or `pip install -e ".[dev]"`') from None
    program = os.environ.get("DEEPFM_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        except Error as error:
            what = f"{program} does not start" if program else "no Chromium found"
            raise NoBrowser(f"{what}: {ADVICE}\n{str(error).splitlines()[0]}") from None
        try:
            yield browser
        finally:
            browser.close()


# Prepares the one page that holds the whole book: keeps its text alone, moves the contents to their place, makes each
# chapter a part with the headings of its page, keeps links inside, and unfolds solutions and cells.
PREPARE = """async () => {
  const article = document.querySelector("article");
  const contents = document.querySelector("#jb-print-toc nav");
  document.body.replaceChildren(article);
  document.body.className = "bd-content printed";
  contents.insertAdjacentHTML("afterbegin", "<h2>Contents</h2>");
  article.querySelector("section").append(contents);
  for (const start of article.querySelectorAll("span[id^='document-']")) {
    const chapter = start.nextElementSibling;
    chapter.classList.add("chapter");
    chapter.prepend(start);
    const headings = chapter.querySelectorAll("h1, h2, h3, h4, h5, h6");
    const deeper = headings[0].localName[1] - 1;
    for (const heading of headings) {
      const title = document.createElement("h" + (heading.localName[1] - deeper));
      title.append(...heading.childNodes);
      heading.replaceWith(title);
    }
    article.append(chapter);
  }
  for (const link of article.querySelectorAll("a[href]"))
    if (link.protocol === location.protocol) link.setAttribute("href", link.hash);
  for (const mark of article.querySelectorAll(".headerlink, .copybtn, .toggle-button")) mark.remove();
  for (const fold of article.querySelectorAll("details")) fold.open = true;
  for (const fold of article.querySelectorAll(".toggle-hidden")) fold.classList.remove("toggle-hidden");
  await Promise.all([...document.images].map(image => image.decode().catch(() => null)));
}"""
FOOT = '<div style="font-size: 8px; text-align: center; width: 100%"><span class="pageNumber"></span></div>'


def book(browser, single: Path, output: Path) -> None:
    """Print the book, which Sphinx has built as the one page ``single``, to ``output``, in one step at the end."""
    draft = output.with_suffix(".part")
    page = browser.new_page(color_scheme="light")
    page.goto(single.as_uri())
    page.evaluate("window.MathJax?.startup?.promise")
    page.evaluate(PREPARE)
    page.pdf(
        path=draft,
        format="A4",
        scale=0.85,
        margin={"top": "18mm", "bottom": "20mm", "left": "18mm", "right": "18mm"},
        print_background=True,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOT,
        outline=True,
        tagged=True,
    )
    page.close()
    draft.replace(output)

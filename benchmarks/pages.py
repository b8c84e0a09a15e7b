"""Measure the seconds until a page can be read in Chromium, with its formulas set, in a browser with an empty cache."""

from statistics import median

from benchmarks import results
from deepfm_helpers.press import printing
from deepfm_helpers.press.checkout import HERE
from deepfm_helpers.press.site import served, stored

HTML = HERE.built / "stored" / "_build" / "html"


def measure(rounds: int) -> list[dict]:
    """Return two rows for each page, from `rounds` rounds over all pages: wall seconds and processor seconds.

    The pages show the stored outputs and are served on this machine; they are built first if there are none yet.
    """
    if not (HTML / "index.html").is_file():
        stored(HERE)
    names = HERE.contents()
    visits = {name: [] for name in names}
    with served(HTML) as address, printing.chromium() as browser:
        for _ in range(rounds):
            for name in names:
                visits[name].append(visit(browser, f"{address}/{name}.html"))
    machine, rows = results.machine(), []
    for name, seen in visits.items():
        clock, processor = zip(*seen, strict=True)
        rows.append(results.row("pages", "book", name, "seconds", clock, median(clock), machine))
        rows.append(results.row("pages", "book", name, "cpu_seconds", processor, median(clock), machine))
    return rows


def visit(browser, address: str) -> tuple[float, float]:
    """Open a page in a fresh profile.

    Returns:
        The wall seconds from the request until the formulas are set, and the processor seconds, which other programs
        hardly disturb.
    """
    context = browser.new_context()
    page = context.new_page()
    page.goto(address, wait_until="load")
    page.evaluate("window.MathJax?.startup?.promise")
    clock = page.evaluate("performance.now()") / 1000
    session = context.new_cdp_session(page)
    session.send("Performance.enable")
    metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    context.close()
    return clock, metrics["ProcessTime"]

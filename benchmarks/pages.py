"""Seconds until a page of the book can be read in Chromium, its formulas set and nothing kept from before."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from threading import Thread

from benchmarks import results
from deepfm_helpers import build, checks, printing

HTML = build.BUILD / "stored" / "_build" / "html"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        pass


def measure(rounds: int) -> list[dict]:
    """Two rows for each page, in `rounds` rounds over all of them: seconds by the clock, and of the processor.

    The pages are those of the stored outputs, served on this machine; they are built first if there are none yet.
    """
    if not (HTML / "index.html").is_file():
        build.stored()
    names = checks.toc_entries(build.ROOT / "_toc.yml")
    visits = {name: [] for name in names}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(HTML)))
    Thread(target=server.serve_forever, daemon=True).start()
    with server, printing.chromium() as browser:
        for _ in range(rounds):
            for name in names:
                visits[name].append(visit(browser, f"http://127.0.0.1:{server.server_port}/{name}.html"))
        server.shutdown()
    machine, rows = results.machine(), []
    for name, seen in visits.items():
        clock, processor = zip(*seen, strict=True)
        rows.append(results.row("pages", "book", name, "seconds", clock, median(clock), machine))
        rows.append(results.row("pages", "book", name, "cpu_seconds", processor, median(clock), machine))
    return rows


def visit(browser, address: str) -> tuple[float, float]:
    """Open a page in a fresh profile.

    Returns:
        The seconds from the request until its formulas are set, and those of the processor, which programs that keep
        the machine busy hardly disturb.
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

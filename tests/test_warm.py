"""Warm kernels: neither a notebook nor its caller can tell them from cold ones, and none is left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from test_build import is_running, wait_until

from deepfm_helpers.press import kernels, warm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all kernels are cold")

RECORD = "import os\nfrom deepfm_helpers.records import record\n"
PARENT = RECORD + "record(parent=os.getppid(), kernel=os.getpid())"


@pytest.fixture
def run(tmp_path):
    """Return a function that runs cells in a kernel, and gives what they recorded and their outputs."""

    def run(*cells: str, timeout: int = 100, **how: object) -> tuple[dict[str, object], list]:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        (tmp_path / "in").mkdir(exist_ok=True)
        nbformat.write(notebook, tmp_path / "in" / "tiny.ipynb")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Passed unknown|.*event loop", category=Warning)
            metrics = kernels.run(
                tmp_path / "in" / "tiny.ipynb", tmp_path / "out.ipynb", {}, timeout, **how
            ).metrics
        executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
        return metrics, [cell.outputs for cell in executed.cells]

    return run


@pytest.fixture
def light(monkeypatch):
    """A parent that has imported less than others, and is there sooner."""
    monkeypatch.setattr(
        warm, "_START", warm._START.replace("forking.main", "forking._import = int; forking.main")
    )
    with warm.WarmParent() as parent:
        assert parent.reason is None
        yield parent


def start(manager: type) -> tuple[KernelManager, object]:
    """Start a kernel; return its manager and a client of it."""
    kernel = kernels.of_this_python(manager)()
    kernel.start_kernel(stderr=subprocess.DEVNULL if manager is KernelManager else None)
    client = kernel.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    return kernel, client


TRAINING = (
    """import numpy as np
from scipy import linalg
from deepfm_helpers import datasets, evaluation, features, page, plots, recipes
from deepfm_helpers.records import record
page.figures_as_svg()
data = datasets.load("planted", n_users=100, n_movies=80, n_ratings=3_000)
rows = datasets.join(data.ratings, data.movies, data.users)
train, test = features.split_rows(rows, 0.1, seed=1)""",
    """short = recipes.changed(recipes.WITHOUT_HISTORY, {"training": {"epochs": 2}})
fitted = recipes.fit(short, data, train, seed=1)
predicted = fitted.predict(test)
record(rmse=evaluation.rmse(test.rating, predicted), predicted=predicted[:99])
record(weights=fitted.model.get_weights()[0][:9])""",
    """draws = np.random.default_rng(1)
a = draws.normal(size=(500, 500))
record(product=(a @ a)[:3, :3], inverse=linalg.inv(a)[:3, :3])
train.groupby("uid").rating.mean().head(9)""",
    "_ = plots.new_axes().plot(predicted[:20])",
)


def test_a_warm_kernel_computes_the_numbers_of_a_cold_one_bit_for_bit(run, warm_how):
    assert warm_how or warm.why_not()
    assert run(*TRAINING, **warm_how) == run(*TRAINING)


FACTS = """from deepfm_helpers import layers
import asyncio, os, signal, subprocess, sys
from pathlib import Path
print(Path.cwd().name, Path(sys.argv[0]).name, sys.argv[1], *sys.argv[3:], sys.path, sys.flags, __name__)
print({name: value for name, value in os.environ.items() if not name.startswith("JPY")})
print({s.name: getattr(signal.getsignal(s), "__name__", signal.getsignal(s)) for s in signal.Signals})
print(os.getpid() == os.getpgid(0) == os.getsid(0), int(os.environ["JPY_PARENT_PID"]) == os.getppid())
print(await asyncio.sleep(0, "slept"), repr(os.read(0, 9)))
print("to stderr", file=sys.stderr)
_ = os.write(1, b"native\\n"), os.system("echo a shell")
print(subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True))
print(sorted(os.readlink(f"/proc/self/fd/{n}").split(":")[0] for n in range(3)))
print(sys.gettrace(), sys.getrecursionlimit(), os.umask(0o22), os.nice(0), type(get_ipython()))"""

LIBRARIES = """import keras, matplotlib, logging, scipy.special, warnings, pandas as pd, numpy as np, tensorflow as tf
of_pandas = ("max_columns", "max_rows", "width", "encoding", "expand_frame_repr", "notebook_repr_html")
print([pd.get_option(f"display.{name}") for name in of_pandas])
print(dict(matplotlib.rcParams), np.get_printoptions(), np.geterr(), *sorted(map(str, warnings.filters)))
print(keras.config.backend(), keras.config.floatx(), keras.config.is_interactive_logging_enabled())
loggers = logging.root.manager.loggerDict.items()
print(sorted(name for name, logger in loggers if getattr(logger, "handlers", [])))
tf.get_logger().info("Python's side of TensorFlow logs")
tf.print("its native side prints")
tf.print("and not to", output_stream=sys.stdout)"""


def lines_by_stream(cells: list[list]) -> dict[str, list[str]]:
    """What cells wrote to each stream; native output comes in between the rest at no certain place."""
    outputs = [output for cell in cells for output in cell]
    names = {output.name for output in outputs}
    return {name: sorted("".join(o.text for o in outputs if o.name == name).splitlines()) for name in names}


@pytest.mark.parametrize("under_pytest", [True, False])
def test_a_notebook_cannot_tell_its_kernel_from_a_cold_one(run, warm_how, monkeypatch, under_pytest):
    if not under_pytest:  # only then a kernel catches native output
        monkeypatch.delenv("PYTEST_CURRENT_TEST")
    warmly, coldly = (lines_by_stream(run(FACTS, LIBRARIES, **how)[1]) for how in (warm_how, {}))
    assert warmly == coldly
    assert ("native" in coldly["stdout"]) is not under_pytest


def test_each_kernel_is_another_process_with_random_numbers_of_its_own(run, warm_how):
    code = "import random, keras, numpy as np\n" + RECORD
    code += "record(parent=os.getppid(), kernel=os.getpid(), python=random.random(), numpy=np.random.rand(),"
    code += " keras=keras.initializers.RandomUniform().seed, threads=len(os.listdir('/proc/self/task')))"
    (one, _), (two, _) = run(code, **warm_how), run(code, **warm_how)
    assert one.pop("parent") == two.pop("parent")
    assert one.pop("threads") == two.pop("threads")
    assert all(one[name] != two[name] for name in one)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os\nos.kill(os.getpid(), 9)", "Kernel died"),
        ("import os\nos._exit(3)", "Kernel died"),
        ("import time\ntime.sleep(60)", "timed out"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_failure_is_reported_as_that_of_a_cold_kernel(run, light, code, told):
    reports = []
    for how in ({}, {"manager": light.manager}):
        with pytest.raises(kernels.RunFailed, match=told) as caught:
            run(code, timeout=2, **how)
        reports.append(str(caught.value))
    assert reports[0] == reports[1]
    assert run(PARENT, manager=light.manager)[0]["parent"] == light.pid  # the next one is as good


def test_the_status_of_a_kernel_is_that_of_its_process(light):
    kernel, client = start(light.blocking_manager)
    process = kernel.provisioner.process
    client.execute("import os; os._exit(3)")
    assert process.wait() == process.poll() == 3
    assert not kernel.is_alive()
    client.stop_channels()
    kernel, client = start(light.blocking_manager)
    process = kernel.provisioner.process
    process.terminate()
    assert process.wait() == -signal.SIGTERM
    client.stop_channels()


def test_an_interrupted_kernel_goes_on_with_the_next_cell(light):
    kernel, client = start(light.blocking_manager)
    asked = client.execute("import time\nprint('begun')\ntime.sleep(60)")
    while client.get_iopub_msg(timeout=30)["msg_type"] != "stream":
        pass
    kernel.interrupt_kernel()
    reply = client._recv_reply(asked, timeout=30)
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    # a request that comes while the kernel still clears its queue is aborted; a later one is not
    wait_until(lambda: client.execute_interactive("1", timeout=30)["content"]["status"] == "ok", 20)
    client.stop_channels()
    kernel.shutdown_kernel()
    assert not kernel.is_alive()


def children_of(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_what_has_ended_is_gone_and_what_runs_ends_with_the_parent(run, light):
    run(PARENT, manager=light.manager)
    assert children_of(light.pid) == []
    (_, client), (other, other_client) = start(light.blocking_manager), start(light.blocking_manager)
    pids = children_of(light.pid)
    assert len(pids) == 2
    other.provisioner.process._line.close()  # as if its owner had died
    wait_until(lambda: children_of(light.pid) == [pids[0]], 20)
    light.__exit__()
    assert not is_running(light.pid)
    assert not is_running(pids[0])
    client.stop_channels(), other_client.stop_channels()
    assert light.manager is None
    assert light.reason == "the parent has been ended"


OWNER = """
import signal, time
from deepfm_helpers.press import kernels, warm
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a program in the background does not have
warm._START = warm._START.replace("forking.main", "forking._import = int; forking.main")
with warm.WarmParent() as parent:
    kernel = kernels.of_this_python(parent.blocking_manager)()
    kernel.start_kernel()
    print([parent.pid, kernel.provisioner.pid], flush=True)
    time.sleep(300)
"""


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_parent_and_kernels_end_with_their_owner(signal_):
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    pids = json.loads(owner.stdout.readline())
    assert all(map(is_running, pids))
    owner.send_signal(signal_)
    owner.wait()
    owner.stdout.close()
    wait_until(lambda: not any(map(is_running, pids)), 20)


DRIVER = """
import sys
from pathlib import Path
from deepfm_helpers.press import jobs, warm
if __name__ == "__main__":
    warm._START = warm._START.replace("forking.main", "forking._import = int; forking.main")
    all(jobs.run_all([jobs.Job(Path(name), Path(name + ".out"), {}) for name in sys.argv[1:]], 2))
"""


def test_kernels_of_all_workers_have_one_parent_which_ends_with_the_driver(tmp_path):
    (tmp_path / "drive.py").write_text(DRIVER)
    for name in "ab":
        code = f"import os, time\nfrom pathlib import Path\n_ = Path('{name}.pids').write_text("
        code += "f'{os.getpid()} {os.getppid()} ')\ntime.sleep(300)"
        cells = [nbformat.v4.new_code_cell(code)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
    driver = subprocess.Popen([sys.executable, "drive.py", "a.ipynb", "b.ipynb"], cwd=tmp_path)
    wait_until(lambda: sum(path.read_text().count(" ") for path in tmp_path.glob("*.pids")) == 4)
    (a, parent), (b, also) = (
        [int(n) for n in (tmp_path / f"{name}.pids").read_text().split()] for name in "ab"
    )
    assert parent == also
    assert parent in children_of(driver.pid)
    driver.kill()
    driver.wait()
    wait_until(lambda: not any(map(is_running, (a, b, parent))), 20)


def test_a_kernel_whose_parent_is_killed_is_dead_and_later_ones_are_cold(run, light):
    manager = light.manager
    with pytest.raises(kernels.RunFailed, match="Kernel died"):
        run("import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(60)", manager=manager)
    with pytest.warns(RuntimeWarning, match="a new program and not warm: the parent"):
        assert run(PARENT, manager=manager)[0]["parent"] == os.getpid()
    assert light.manager is None
    assert light.reason == "the parent has ended with status -9"


def test_a_kernel_with_variables_that_come_too_late_is_cold_and_says_why(run, monkeypatch, request):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    light = request.getfixturevalue("light")
    told = r"OMP_NUM_THREADS='1' instead of None, so give a WarmParent"
    with pytest.warns(RuntimeWarning, match=told):
        metrics, _ = run(PARENT, manager=light.manager, environment={"OMP_NUM_THREADS": "1"})
    assert metrics["parent"] == os.getpid()
    late = {"DEEPFM_MIRROR": "http://127.0.0.1"}
    metrics, _ = run(PARENT, manager=light.manager, environment=late)
    assert metrics["parent"] == light.pid


def test_a_run_tells_whether_its_kernel_was_forked(run, light, tmp_path):
    run("1")
    paths = tmp_path / "in" / "tiny.ipynb", tmp_path / "out.ipynb"
    assert kernels.run(*paths, {}, 100, manager=light.manager).forked
    assert not kernels.run(*paths, {}, 100).forked
    with pytest.warns(RuntimeWarning, match="a new program and not warm"):
        assert not kernels.run(
            *paths, {}, 100, manager=light.manager, environment={"MKL_CBWR": "COMPATIBLE"}
        ).forked


def test_a_parent_passes_its_variables_on(run, monkeypatch, light):
    threads = {"OMP_NUM_THREADS": "1"}
    with warm.WarmParent(threads) as parent:
        code = PARENT + "\nrecord(threads=os.environ['OMP_NUM_THREADS'])"
        metrics, _ = run(code, manager=parent.manager, environment=threads)
    assert metrics["parent"] == parent.pid
    assert metrics["threads"] == "1"


IDLE = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"


@pytest.mark.parametrize("late", [False, True])
def test_a_process_with_a_second_thread_is_never_copied(run, monkeypatch, late):
    before = f"forking._import = lambda: exec({IDLE!r}); "
    if late:  # the thread starts after the parent has looked for the first time
        before = "serve = forking._serve; forking._import = int; "
        before += f"forking._serve = lambda *how: (exec({IDLE!r}), serve(*how))[1]; "
    monkeypatch.setattr(warm, "_START", warm._START.replace("forking.main", before + "forking.main"))
    told = r"the parent has 2 threads and can copy only one: python\S*, python"
    with warm.WarmParent() as parent:
        if late:
            with pytest.warns(RuntimeWarning, match=told):
                metrics, _ = run(PARENT, manager=parent.manager)
        else:
            assert parent.manager is parent.blocking_manager is None
            assert re.fullmatch(told, parent.reason)
            metrics, _ = run(PARENT, manager=parent.manager)
    assert metrics["parent"] == os.getpid()


def test_where_no_process_can_be_copied_kernels_are_cold_and_the_reason_is_told(run, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with warm.WarmParent() as parent:
        assert "this is darwin" in parent.reason == warm.why_not()
        assert parent.manager is None

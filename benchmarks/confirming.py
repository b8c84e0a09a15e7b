"""Whether today's code trains the models of the task rmse exactly as the code of an earlier commit did.

The seed fixes a training, and every epoch is computed as the one before it. So two programs whose predictions are the
same to the last bit after `EPOCHS` epochs, on the same machine and rows, make the same rows; this costs a small part of
what it costs to measure the rows again, and it holds on a machine that rounds otherwise than the one that measured.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from deepfm_helpers.press.checkout import HERE

ROOT = HERE.root

EPOCHS = 2
"""After how many epochs of each training the predictions are compared; a recipe that stops early never stops sooner."""

PREDICTIONS = """
import hashlib, json, sys
from benchmarks import splits
from benchmarks.systems import book_rmse
from deepfm_helpers import training

model, epochs, whole = sys.argv[1], int(sys.argv[2]), training.train
training.train = lambda *rows, **asked: whole(*rows, **asked | {"epochs": min(asked["epochs"], epochs)})
data, rows, test = splits.load("ml-1m", "random", 1)
made = next(iter(book_rmse.MODELS[model](data, rows, [1])))
print(json.dumps(hashlib.sha256(made.predict(test).tobytes()).hexdigest()))
"""

DIGESTS = """
import json, sys
from benchmarks import origin

print(json.dumps({system: origin.digest("rmse", system) for system in sys.argv[1:]}))
"""


@contextmanager
def checked_out(commit: str):
    """Yield a folder with the project as a commit has it."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / "then"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", place, commit], cwd=ROOT, check=True)
        try:
            yield place
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", place], cwd=ROOT, check=True)


def ask(folder: Path, program: str, *arguments: str, core: str = ""):
    """Return what one of the programs above prints, run with the code of a folder; a core can be named.

    Raises:
        RuntimeError: it failed; the message holds the end of what it said.
    """
    pinned = ["taskset", "--cpu-list", core] if core else []
    done = subprocess.run(
        [*pinned, sys.executable, "-c", program, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{folder.name}, {' '.join(arguments)}: {' '.join(done.stderr.splitlines()[-5:])}")
    return json.loads(done.stdout.splitlines()[-1])


def alike(
    then: Path, models: Sequence[str], on_a_core_each: Callable, cores: Sequence[int]
) -> dict[str, bool]:
    """Return for each of the `MODELS` whether today's code and that of a folder predict the same, see `EPOCHS`."""

    def same(model: str, core: str) -> bool:
        old, new = (ask(folder, PREDICTIONS, model, str(EPOCHS), core=core) for folder in (then, ROOT))
        print(f"{model}: {'the same' if old == new else 'other'} predictions", flush=True)
        return old == new

    return dict(zip(models, on_a_core_each(same, list(models), cores), strict=True))

"""The folder of a training: which run it holds, its history, and the weights from which a killed run goes on.

The folder holds

- ``run.json``: the arguments, digests of the data, the model's layers, digests of the weight files;
- ``history.csv``: a row for each finished epoch, written last, since an epoch counts as finished once its row is there;
- ``epoch-0007.weights.h5``: weights and Adam's running means, kept for each of the last two epochs and for the epoch
  that was best when each of them ended;
- ``best.weights.h5``: the best weights, in place of those of the epochs, once the run has come to its end;
- ``tensorboard/``: logs, if `train` was asked for them;
- ``lock``: the lock of the process that trains here.

If several processes train together, only the first uses the folder and tells the others what they need.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd

from deepfm_helpers import processes
from deepfm_helpers._keras import keras
from deepfm_helpers.files import only_one, write_whole

METRICS = {"rating": "rmse", "click": "log_loss"}
"""By task the name of the error that a history shows and that chooses the best epoch."""


def history(rows: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """Returns the finished epochs as a table, one row each."""
    names = next((names for names in _columns() if rows and set(names) <= set(rows[0])), ())
    return pd.DataFrame(rows).reindex(columns=names)


def best_epoch(rows: Sequence[Mapping[str, float]]) -> int:
    """Returns the epoch, from 1, with the lowest validation error of `METRICS`; without validation rows the last one.

    The lowest `val_loss` would not do: Keras adds the penalties of `table_l2` to it.
    """
    decisive = next((f"val_{m}" for m in METRICS.values() if rows and f"val_{m}" in rows[0]), None)
    return len(rows) if decisive is None else 1 + int(np.argmin([row[decisive] for row in rows]))


def _columns() -> Iterator[list[str]]:
    """Yields the columns that a history can have, those with validation rows first."""
    for error in METRICS.values():
        yield ["epoch", "loss", error, "val_loss", f"val_{error}", "seconds"]
    for error in METRICS.values():
        yield ["epoch", "loss", error, "seconds"]


def describe_run(model: keras.Model, arguments: Mapping, data: Mapping[str, np.ndarray | str]) -> dict:
    """Describes a run, to tell it from others, in JSON values: arguments, digests of the arrays, layers of the model.

    In place of an array, `data` can hold its digest.

    Raises:
        ValueError: an argument is neither a number nor an object with a `get_config`.
    """
    fixed = {f"{i} {re.sub(r'_[0-9]+/', '/', w.path)}": w for i, w in enumerate(model.non_trainable_weights)}
    run = {
        "arguments": {name: _plain(name, value) for name, value in arguments.items()},
        "data": {name: rows if isinstance(rows, str) else _digest(rows) for name, rows in data.items()},
        "model": _layers_of(model)
        | {f"fixed weights {name}": _digest(keras.ops.convert_to_numpy(w)) for name, w in fixed.items()},
    }
    return json.loads(json.dumps(run, default=str))


class TrainingFolder:
    """The folder of one run, locked while the `with` block runs.

    Args:
        folder: path of the folder, which is made if needed.
        run: what `describe_run` returned.

    Raises:
        RuntimeError: another process, or another training in this process, uses the folder; or the first of several
            processes has failed, and this is another one.
        OSError: a file cannot be written; what was there before is still whole.
    """

    def __init__(self, folder: str | Path, run: dict):
        self.folder, self.run = Path(folder), run
        self.history, self.best = self.folder / "history.csv", self.folder / "best.weights.h5"

    def __enter__(self) -> TrainingFolder:
        self.held = ExitStack()
        self._hold()
        return self

    @processes.in_first
    def _hold(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(only_one(self.folder))
            for part in self.folder.glob(".part-*"):  # of a process that was killed while it wrote
                part.unlink()
            self.held = stack.pop_all()

    def __exit__(self, *_) -> None:
        self.held.close()

    def resume(self, model: keras.Model) -> list[dict]:
        """Gives the model the state in which a killed run left it; returns the rows of that run's finished epochs.

        If no run was killed here, there are no such rows, and what a finished run has left is removed.

        Raises:
            ValueError: the folder holds another run, or no epoch of the killed run is whole.
        """
        rows, damage = self._whole_epochs()
        found = f"{self.folder}: damaged or missing: {', '.join(dict.fromkeys(damage))}."
        if damage and not rows:
            raise ValueError(
                f"{found} No epoch is left to go on from; delete the folder to train from the start"
            )
        if damage:
            warnings.warn(f"{found} Training goes on after epoch {len(rows)}, which is whole", stacklevel=3)
        if rows:
            self.load(model, len(rows))
        return rows

    @processes.in_first
    def _whole_epochs(self) -> tuple[list[dict], list[str]]:
        """Returns the rows of the epochs after which a killed run can go on, and the names of what is damaged."""
        if not self.history.exists():
            self._begin()
            return [], []
        weights = self._refuse_another_run()
        if self.best.exists():
            self._begin()
            return [], []
        rows, damage = self._read_history()
        self.run["weights"] = weights
        while rows and (broken := [e for e in {len(rows), best_epoch(rows)} if not self._is_whole(e)]):
            damage += [self._file(epoch).name for epoch in broken]
            rows.pop()
        return rows, damage

    def save(self, model: keras.Model, rows: Sequence[Mapping[str, float]]) -> None:
        """Keeps the state after the last of these epochs; a process that is killed loses at most one epoch."""
        self._keep(_weights_in_memory(model), rows)

    @processes.in_first
    def _keep(self, content: bytes, rows: Sequence[Mapping[str, float]]) -> None:
        last = len(rows)
        needed = {e for n in (last, last - 1) for e in (n, best_epoch(rows[:n]))} - {0}
        digests = self.run["weights"] | {str(last): hashlib.sha256(content).hexdigest()}
        self.run["weights"] = {str(epoch): digests[str(epoch)] for epoch in sorted(needed)}
        with self._writing(f"epoch {last}"):
            write_whole(self._file(last), content)
            self._write_run()
            write_whole(self.history, history(rows).to_csv(index=False, lineterminator="\n"))
        self._drop_all_but(self._file(epoch) for epoch in needed)

    def load(self, model: keras.Model, epoch: int) -> None:
        """Gives the model its weights, and its optimizer its state, after an epoch that `save` has kept."""
        model.load_weights(_Memory(self._read(epoch)))

    @processes.in_first
    def _read(self, epoch: int) -> bytes:
        return self._file(epoch).read_bytes()

    def finish(self, model: keras.Model) -> None:
        """Writes the model's weights as ``best.weights.h5`` and removes the files of single epochs."""
        self._keep_best(_weights_in_memory(model))

    @processes.in_first
    def _keep_best(self, content: bytes) -> None:
        with self._writing("the best epoch"):
            write_whole(self.best, content)
            self._drop_all_but()
            self.run["weights"] = {}
            self._write_run()

    def _begin(self) -> None:
        self.history.unlink(missing_ok=True)  # first, since nothing else counts without the history
        self.best.unlink(missing_ok=True)
        self._drop_all_but()
        self.run["weights"] = {}
        with self._writing("the description of the run"):
            self._write_run()

    def _write_run(self) -> None:
        write_whole(self.folder / "run.json", json.dumps(self.run, indent=1, ensure_ascii=False) + "\n")

    def _refuse_another_run(self) -> dict:
        """Returns the digests of the weight files; refuses a folder that holds another run."""
        advice = "choose another folder, or delete this one to train from the start"
        try:
            kept = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
            weights = kept.pop("weights")
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            raise ValueError(
                f"{self.folder} holds a history.csv without a readable run.json, so nobody knows of which run; {advice}"
            ) from None
        if differences := list(_differences(kept, self.run)):
            raise ValueError(
                f"{self.folder} holds another run than the one asked for:\n  {_listed(differences)}\n"
                f"Call train with what that run had, {advice}"
            )
        return weights

    def _read_history(self) -> tuple[list[dict], list[str]]:
        """Returns the rows of the history before the first damaged one, and the place of the damage."""
        header, *lines = self.history.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
        names = header.split(",")
        if set(names) not in map(set, _columns()):
            return [], ["history.csv, line 1"]
        rows = []
        for epoch, line in enumerate(lines, 1):
            try:
                row = dict(zip(names, map(float, line.split(",")), strict=True))
            except ValueError:
                row = {"epoch": np.nan}
            if row["epoch"] != epoch or not np.isfinite(list(row.values())).all():
                return rows, [f"history.csv, line {epoch + 1}"]
            rows.append(row | {"epoch": epoch})
        return rows, [] if rows else ["history.csv, line 2"]

    def _is_whole(self, epoch: int) -> bool:
        try:
            content = self._file(epoch).read_bytes()
        except OSError:
            return False
        return hashlib.sha256(content).hexdigest() == self.run["weights"].get(str(epoch))

    def _file(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.weights.h5"

    def _drop_all_but(self, kept: Iterator[Path] = ()) -> None:
        for file in set(self.folder.glob("epoch-*.weights.h5")) - set(kept):
            file.unlink()

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(
                error.errno,
                f"{self.folder}: {what} could not be saved ({error.strerror}). What was saved before is whole: "
                "make room, then call train with the same arguments to go on from there",
            ) from error


class _Memory(io.BytesIO):
    """A weight file in memory; Keras asks for the ending of its name.

    On a full disk HDF5 would leave a file that cannot be closed, and would in the end crash the process.
    """

    def __str__(self) -> str:
        return "memory.weights.h5"


def _weights_in_memory(model: keras.Model) -> bytes:
    """Returns the content of a weight file; all processes have to call this, since Keras makes variables on the way."""
    file = _Memory()
    model.save_weights(file)
    return file.getvalue()


@processes.together()
def check_alike(run: dict) -> None:
    """Makes sure that all processes that train together were asked for the same run.

    Raises:
        ValueError: in all of them, if one was asked for another run; in that one the message lists the differences.
    """
    first = processes.in_first(lambda: run)()
    differences = list(_differences(first, json.loads(json.dumps(run))))
    if not processes.all_agree(not differences):
        own = f" This one differs from the first:\n  {_listed(differences)}" if differences else ""
        raise ValueError(
            "the processes that train together were not asked for the same run: all of them need the same arguments "
            f"and rows.{own}"
        )


def _digest(array: np.ndarray) -> str:
    array = np.ascontiguousarray(array)
    return f"{array.dtype} {array.shape} {hashlib.sha256(array.data).hexdigest()[:16]}"


def _plain(name: str, value):
    """Returns a number as it is, and an object of Keras, such as a schedule, as its configuration."""
    if isinstance(value, Real):
        return value.item() if isinstance(value, np.generic) else value
    try:
        return keras.saving.serialize_keras_object(value)
    except NotImplementedError:
        raise ValueError(
            f"{name} = {value!r}: with a folder it needs a get_config(), so that a resumed run can be compared"
        ) from None


def _layers_of(model: keras.Model) -> dict:
    """Describes each layer by class, configuration and inputs; without a configuration, each weight by its shape."""
    with suppress(NotImplementedError):
        if layers := model.get_config().get("layers"):
            return _layers(layers)
    return {f"weights {i}": list(w.shape) for i, w in enumerate(model.weights)}


def _layers(entries: Sequence[dict]) -> dict:
    """Describes the layers of a configuration, without the running numbers that Keras appends to names."""
    labels, seen = {}, Counter()
    for entry in entries:
        stem = re.sub(r"_\d+$", "", entry["config"]["name"])
        seen[stem] += 1
        labels[entry["config"]["name"]] = f"layer {stem}" + (f" {seen[stem]}" if seen[stem] > 1 else "")

    def by_label(value):
        if isinstance(value, dict) and "keras_history" in value.get("config", {}):
            name, _, output = value["config"]["keras_history"]
            return f"{labels[name]}, output {output}"
        if isinstance(value, dict):
            return {key: by_label(part) for key, part in value.items()}
        return [by_label(part) for part in value] if isinstance(value, list | tuple) else value

    found = {}
    for entry in entries:
        config = {key: value for key, value in entry["config"].items() if key != "name"}
        if "layers" in config:  # a model inside the model
            config = _layers(config["layers"])
        inputs = by_label(entry.get("inbound_nodes", []))
        found[labels[entry["config"]["name"]]] = {"class": entry["class_name"], **config, "inputs": inputs}
    return found


def _differences(old, new, place: str = "") -> Iterator[str]:
    """Yields where two descriptions differ, and how: "place: old → new"."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in old | new:
            inside = name if place in ("", "arguments", "data", "model") else f"{place}, {name}"
            yield from _differences(old.get(name, "(none)"), new.get(name, "(none)"), inside)
    elif old != new:
        yield f"{place}: {_short(old)} → {_short(new)}"


def _listed(differences: Sequence[str]) -> str:
    more = [f"and {len(differences) - 8} more"] if len(differences) > 8 else []
    return "\n  ".join([*differences[:8], *more])


def _short(value) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"

"""From a dataset of your own to a trained and judged DeepFM, in one call.

>>> import numpy as np, pandas as pd
>>> from deepfm_helpers.own import data, fitting
>>> rng = np.random.default_rng(0)
>>> rows = pd.DataFrame({"user": rng.integers(0, 20, 400), "item": rng.integers(0, 20, 400)})
>>> rows["rating"] = np.where((rows.user + rows.item) % 2, 80.0, 20.0)
>>> fit = fitting.fit(data.from_frames(rows, repeats=True), epochs=3)
>>> list(fit.figures.index)
['the mean', 'mean + offsets of user and item', 'DeepFM']

The recipe is `recipes.WITHOUT_HISTORY` with what depends on the dataset adapted:

- The penalties are in units of one rating, so that they hold for any number of rows. They were chosen for stars, which
  spread by about one. Ratings of another unit are therefore divided by their spread while the model learns, and the
  factor goes into the weights afterwards (`in_units`). Log-losses are smaller than squared errors, and log-odds spread
  wider than stars: for clicks the penalties are multiplied by `TIMES_FOR_CLICKS`.
- A batch holds a hundredth of the rows, at most 8,192 and at least 16; the running mean of the weights covers about two
  epochs, at most 200 steps.
- Training stops three epochs after the lowest error on the validation rows. The number of epochs is all that these rows
  decide. A new model is then trained for as many epochs on training and validation rows together ("refit"): the
  time doubles, but the model of the best epoch would know nothing of the rows that were held out, which are the latest
  ones in a split by time, and all rows of some users in a split by user.
- The test rows judge the model, once; nothing is chosen by them.

A dataset that does not fit in memory (`large`) is fitted in the same way. Training rows, validation rows and both
together are encoded into three files (`streams`), from which the model is trained: disk takes the place of memory. The
rows of an epoch come in another order than in memory, so the numbers differ as those of two seeds differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from deepfm_helpers import anatomy, builders, checkpoints, evaluation, features, models, recipes, training
from deepfm_helpers.own import judging, streams
from deepfm_helpers.own.data import OwnData
from deepfm_helpers.own.large import LargeData
from deepfm_helpers.own.progress import Training

SPREAD_OF_STARS = 1.1
"""Standard deviation of the ratings for which the penalties of the recipe were chosen, in stars."""

TIMES_FOR_CLICKS = 0.25
"""What the penalties are multiplied by for clicks, whose targets are in log-odds and spread wider than stars."""

EPOCHS = 60
"""The most epochs of a fit, which ends earlier when the validation rows say so."""

LARGEST_BATCH = 8192


@dataclass(frozen=True)
class Fit:
    """A model of a dataset, and how good it is.

    Attributes:
        data: the dataset.
        model: the trained Keras model; it predicts in the unit of the target, or a probability.
        fields: its fields, in the order of its inputs.
        recipe: the recipe that made it.
        seed: the seed of the run.
        epochs: number of epochs that the validation rows chose.
        validation: name of the error on the validation rows -> its value after each epoch, until training stopped.
        unit: what the ratings were divided by while the model learned; 1 for clicks.
        figures: what `judging.figures` measured on the test rows.
        margin: how far the DeepFM is ahead of the best of the others on these rows, see `judging.margin`.
        seconds: time that it took to train the model.
    """

    data: OwnData | LargeData
    model: object
    fields: tuple[features.Feature, ...]
    recipe: recipes.Recipe
    seed: int
    epochs: int
    validation: Mapping[str, list[float]]
    unit: float
    figures: pd.DataFrame
    margin: judging.Margin
    seconds: float

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """Returns predictions for rows, in the unit of the target and within its range, or probabilities, float32 (n,).

        Args:
            rows: joined rows, such as the parts of `data`: they call the user `uid` and the item `mid`, and hold the
                columns of the other `fields`. What the model has not met has id 0.

        Raises:
            KeyError: a column is missing.
        """
        x = [field.encode(rows) for field in self.fields]
        return np.clip(evaluation.predict(self.model, x), *self.data.range)


def recipe_of(data: OwnData | LargeData, epochs: int = EPOCHS, k: int | None = None) -> dict:
    """Returns the recipe for a dataset, see the beginning of this module.

    Args:
        data: the dataset.
        epochs: largest number of epochs.
        k: length of the vectors; None: that of the book's recipe.
    """
    n, split = data.sizes["train"], data.layout.split
    steps = max(n // LARGEST_BATCH, min(100, n // 16), 1)  # of an epoch, about as in `recipes`
    return recipes.changed(
        recipes.WITHOUT_HISTORY,
        {
            "model": {} if k is None else {"k": k},
            "penalty": {"times": TIMES_FOR_CLICKS if data.task == "click" else 1.0},
            # After the test rows, this draws the validation rows of the dataset, see `data`.
            "split": {"held": split.validation / (1 - split.test), "by": split.by},
            "training": {
                "epochs": epochs,
                "batch_size": min(LARGEST_BATCH, n),
                "averaging": min(0.995, 1 - 1 / (2 * steps)),
            },
            "selection": "refit",
        },
    )


def fit(
    data: OwnData | LargeData,
    *,
    epochs: int = EPOCHS,
    k: int | None = None,
    seed: int | None = None,
    recipe: recipes.Recipe | None = None,
    scratch: str | Path | None = None,
) -> Fit:
    """Trains a DeepFM on a dataset, and judges it on the test rows.

    For clicks a logistic regression on the same fields, that is, the first order alone, is trained in the same way and
    judged beside the model.

    Args:
        data: the dataset.
        epochs, k: see `recipe_of`.
        seed: seed of the first weights and of the order of the rows; another seed than that of the split also draws
            other validation rows, unless the split is by time. None: the seed of the split, or the one with which
            `large.read` has drawn the validation rows.
        recipe: changes to the recipe, see `recipes.changed`.
        scratch: a folder for the encoded rows of a dataset that does not fit in memory; they are removed in the end.
            None: the folder of temporary files.

    Raises:
        DataError: a column cannot become a field, see `OwnData.fields`.
        ValueError: the recipe breaks a rule, see `recipes.members`; or, for a dataset that does not fit in memory, it
            needs all rows at once, or the seed is not that of the validation rows.
        FloatingPointError: the training has diverged.
    """
    is_large = isinstance(data, LargeData)
    seed = (data.seed if is_large else data.layout.split.seed) if seed is None else seed
    usual = recipe_of(data, epochs, k)
    recipe = recipes.changed(usual, recipe or {})
    if is_large:
        _check_large(data, recipe, usual, seed)
    predictions = {}
    with TemporaryDirectory(prefix=".rows-", dir=scratch) if is_large else nullcontext() as folder:
        rows = _Large(data, recipe, Path(folder)) if is_large else _InMemory(data)

        def trained(what: str, build=None) -> tuple[recipes.Fitted, Training]:
            watch = Training(what)
            asked = recipes.changed(recipe, {"training": {"callbacks": (watch,)}})
            return rows.fit(asked, seed, build), watch

        if data.task == "click":
            fitted = trained("logistic regression", _first_order)[0]
            predictions["logistic regression"] = rows.predict(fitted)
        fitted, watch = trained("DeepFM")
        in_units(fitted.model, fitted.fields, rows.unit)
        predictions["DeepFM"] = rows.predict(fitted)
        y, users, simple = rows.tested()
        everyone = simple | predictions
    return Fit(
        data=data,
        model=fitted.model,
        fields=tuple(fitted.fields),
        recipe=recipe,
        seed=seed,
        epochs=len(fitted.history),
        validation={
            name: [rows.unit * error for error in errors] for name, errors in watch.validation.items()
        },
        unit=rows.unit,
        figures=judging.measured(data.task, y, everyone),
        margin=judging.margin(data.task, y, users, everyone),
        seconds=fitted.seconds,
    )


def _unit(task: str, spread: float) -> float:
    """Returns what ratings of a spread are divided by while the model learns; 1 for clicks."""
    return 1.0 if task == "click" else spread / SPREAD_OF_STARS or 1.0


class _InMemory:
    """The rows of a dataset in memory: a model is fitted on them, and judged by the test rows.

    Attributes:
        unit: see `Fit`.
    """

    def __init__(self, data: OwnData):
        self.data = data
        *_, self.test = data.split()
        self.rest = data.learned()
        self.unit = _unit(data.task, float(self.rest.rating.std(ddof=0)))
        self.small = self.rest.assign(rating=(self.rest.rating / self.unit).astype("float32"))

    def fit(self, recipe: recipes.Recipe, seed: int, build: Callable | None) -> recipes.Fitted:
        return recipes.fit(recipe, self.data, self.small, seed, build)

    def predict(self, fitted: recipes.Fitted) -> np.ndarray:
        return fitted.predict(self.test)

    def tested(self) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Returns targets, users and simple predictions of the test rows, each (n,)."""
        simple = judging.simple(self.data.task, self.rest, self.test)
        return self.test.rating.to_numpy(), self.test.uid.to_numpy(), simple


def _check_large(data: LargeData, recipe: recipes.Recipe, usual: recipes.Recipe, seed: int) -> None:
    """Raises ValueError if a recipe or a seed does not suit rows that are read part by part."""
    if needy := [section for section in ("history", "stretches", "crosses") if recipe.get(section)]:
        raise ValueError(
            f"the recipe has a section {needy[0]!r}, whose fields need all rows in memory; leave it out, or drop "
            "stream = true if the rows fit in memory"
        )
    if recipe.get("split") != usual["split"]:
        raise ValueError(
            "the recipe changes the split, and the validation rows of a stream are drawn when it is read; change "
            "[split] in dataset.toml"
        )
    if seed != data.seed:
        raise ValueError(
            f"seed = {seed}, and the validation rows were drawn with the seed {data.seed}; read the folder again with "
            f"large.read(folder, seed={seed})"
        )


class _Large:
    """The rows of a dataset that does not fit in memory, as `_InMemory`; the files of encoded rows lie in a folder."""

    TRAIN, REST = ("train",), ("train", "validation")

    def __init__(self, data: LargeData, recipe: recipes.Recipe, folder: Path):
        self.data, self.folder, self.wanted = data, folder, recipe.get("selection", "best epoch")
        groups = (self.TRAIN, self.REST)
        counted = dict(zip(groups, data.counted(*groups), strict=True))
        self.fields = {names: fields for names, (fields, _) in counted.items()}
        self.moments = {names: moments for names, (_, moments) in counted.items()}
        self.unit = _unit(data.task, self.moments[self.REST].spread)
        self.files = {
            (names, held): self._written(names, held or names)
            for names, held in ((self.TRAIN, None), (self.TRAIN, ("validation",)), (self.REST, None))
        }

    def _written(self, fields_of: tuple[str, ...], names: tuple[str, ...]) -> streams.Parquet:
        """Encodes the rows of some parts of the split, with the fields that the rows of others have described."""

        def small() -> Iterator[pd.DataFrame]:
            for rows in self.data.frames(*names):
                yield rows.assign(rating=(rows.rating / self.unit).astype("float32"))

        path = self.folder / f"{'-'.join(names)}.parquet"
        return streams.write(small(), self.fields[fields_of], path)

    def fit(self, recipe: recipes.Recipe, seed: int, build: Callable | None) -> recipes.Fitted:
        """Does what `recipes.fit` does, with the fields and the files that there are."""
        started, epochs = time.perf_counter(), None
        if self.wanted != "all rows":
            model, log = self._train(recipe, self.TRAIN, ("validation",), seed, build)
            names, epochs = self.TRAIN, checkpoints.best_epoch(log.to_dict("records"))
        if self.wanted != "best epoch":
            names = self.REST
            model, log = self._train(recipe, names, None, seed, build, epochs)
        seconds = time.perf_counter() - started
        return recipes.Fitted(model, self.fields[names], log, seconds, self.data.range)

    def _train(self, recipe, names, held, seed, build, stop_after=None) -> tuple[object, pd.DataFrame]:
        training.set_seed(seed)
        rows, fields = self.files[names, None], self.fields[names]
        options = {"task": self.data.task} | recipe["model"]
        if options.get("mean_rating") == "train":
            options["mean_rating"] = self.moments[names].mean / self.unit
        if (penalty := recipe.get("penalty")) is not None:
            options["table_l2"] = recipes._factors(penalty, fields, len(rows))
        model = (build or builders.deep_fm)(features=fields, **options)
        asked = dict(recipe["training"])
        steps = max(round(len(rows) / asked["batch_size"]), min(100, len(rows) // 16), 1)
        asked["batch_size"] = -(-len(rows) // steps)
        asked["learning_rate"] = recipes._schedule(
            asked.pop("schedule", "constant"), asked["learning_rate"], steps, steps * asked["epochs"]
        )
        if stop_after:
            asked["epochs"] = stop_after
        valid = self.files[names, held] if held else None
        return model, training.train(model, rows, valid, seed=seed, **asked)

    def predict(self, fitted: recipes.Fitted) -> np.ndarray:
        return np.concatenate([fitted.predict(rows) for rows in self.data.frames("test")])

    def tested(self) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Returns what `_InMemory.tested` returns; of the test rows this lies in memory."""
        moments = self.moments[self.REST]
        constant, *with_offsets = judging.SIMPLE[self.data.task]
        offsets = self._offsets(moments.mean) if with_offsets else {}
        targets, users, found = [], [], []
        for rows in self.data.frames("test"):
            targets.append(rows.rating.to_numpy())
            users.append(rows.uid.to_numpy())
            parts = [rows[key].map(offset).fillna(0.0) for key, offset in offsets.items()]
            found.append(moments.mean + sum(parts, np.zeros(len(rows))))
        y, added = np.concatenate(targets), np.concatenate(found)
        simple = {constant: np.full(len(y), moments.mean)}
        simple |= {name: np.clip(added, moments.low, moments.high) for name in with_offsets}
        return y, np.concatenate(users), simple

    def _offsets(self, mean: float) -> dict[str, pd.Series]:
        """Returns the offsets of `evaluation.bias_predictions`, of items and users, in two passes over the rows."""
        found: dict[str, pd.Series] = {}
        for key in ("mid", "uid"):
            sums = pd.DataFrame({"sum": [], "size": []})
            for rows in self.data.frames(*self.REST):
                rest = rows.rating.astype("float64") - mean
                for before, offset in found.items():
                    rest = rest - rows[before].map(offset)
                sums = sums.add(rest.groupby(rows[key]).agg(["sum", "size"]), fill_value=0.0)
            found[key] = sums["sum"] / (sums["size"] + evaluation.DAMPING)
        return found


def _first_order(**options):
    return models.deep_fm_model(parts=("first_order",), **options)[-1]


def in_units(model, fields, unit: float) -> None:
    """Multiplies the score of a DeepFM by a number, by its weights; each part is multiplied, too.

    A weight of the first order counts once in its part, and a vector twice: w → unit · w, v → √unit · v. The network
    reads the vectors, so its first layer is divided by √unit, and its last layer is multiplied by unit. In between,
    a ReLU lets a positive factor through.

    Args:
        model: a model of `models` whose deep output has no activation.
        fields: its fields.
        unit: a positive number.
    """

    def times(layer, factor: float) -> None:
        layer.set_weights([weight * np.float32(factor) for weight in layer.get_weights()])

    root = float(np.sqrt(unit))
    for field in fields:
        first, second = anatomy.tables(model, field)
        if first:
            times(first, unit)
        if second:
            times(second, root)
    if network := anatomy.network(model):
        kernel, constant = network[0].get_weights()
        network[0].set_weights([kernel / np.float32(root), constant])
        times(network[-1], unit)
    *weights, constant = anatomy.head(model).layer.get_weights()
    anatomy.head(model).layer.set_weights([*weights, constant * np.float32(unit)])

"""Whole recipes, from training rows to scores: the post's, its repairs, and the full model (chapters 10, 11).

A recipe is a dict of sections; each section but the last two is a dict of arguments:

- `describe`: arguments of `features.describe`.
- `history` and `stretches`: arguments of `history.describe` and `history.stretches`; without these sections the model
  has no such fields.
- `model`: arguments of `models.deep_fm_model`; "train" for `mean_rating` means the mean of the training rows. The
  recipe of a model of clicks names the `task` here, unless the data does.
- `penalty`: λ by name, in units of one rating: λ ‖table‖² is added to the sum of the squared errors, or log-losses,
  of all training rows (equation eq-prior). A prior of variance τ² on the entries and noise of variance σ² give
  λ = σ² / τ². Each field has a λ of its own (`features.Feature.penalty`), in place of which the section can name
  another. "first_order" is the λ for the first-order weights of all fields (0 if it is not named), "fields" a λ for
  every field that is not named, and "times" a factor on every λ. "deep", for the weights of the network, has another
  unit: deep · ‖weights‖² is added to the *mean* of the errors. Without the section, or with None, nothing is added.
- `split`: arguments of `features.split_rows`.
- `training`: arguments of `training.train`, and `schedule`: "constant", "warm" or "cosine".
- `crosses`: pairs of names of fields, for `features.cross`.
- `selection`: "best epoch", "refit" or "all rows", see `members`.

`models.AS_PUBLISHED` is a recipe. To try something, change a recipe and fit it: see `changed` and `fit`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from deepfm_helpers import anatomy, builders, checkpoints, evaluation, features, history, models, training
from deepfm_helpers._keras import keras

Recipe = Mapping[str, object]
SECTIONS = (
    "describe", "history", "stretches", "model", "penalty", "split", "training", "crosses", "selection",
)  # fmt: skip

AVERAGED = {
    "epochs": 10, "batch_size": 8192, "learning_rate": 0.01, "schedule": "warm", "averaging": 0.995,
}  # fmt: skip

REPAIRS = {
    "validation rows at random": {"split": {"by": "random"}},
    "deep output without ReLU": {"model": {"deep_activation": None}},
    "all genres, averaged without padding": {
        "describe": {"n_genre": None, "slots": None, "truncating": "post", "pooling": "mean"}
    },
    "gender, age, occupation as fields": {
        "describe": {"fields": ("uid", "mid", "gender", "age", "occupation", "genre")}
    },
    "no dropout on the vectors": {"model": {"dropout_on_embeddings": False}},
    "plain sum of the parts": {"model": {"head": "sum"}},
    "constant starts at the mean": {"model": {"mean_rating": "train"}},
    "a penalty for each table": {
        "model": {"dnn_dr": 0.0},
        "penalty": {"first_order": 5.0, "deep": 3e-4},
    },
    "larger steps, weights averaged": {"training": AVERAGED},
    "trained again on all rows": {"selection": "refit"},
}
"""The changes that chapter 10 makes to `models.AS_PUBLISHED`, one at a time, as name → section → arguments.

:meta hide-value:"""

FULL = {
    "describe": {},
    "history": {"components": 250},
    "stretches": {"lengths": (8, 16, 32)},
    "model": {"k": 24, "dnn_dim": (64, 32), "dnn_dr": 0.0, "mean_rating": "train", "embedding_spread": 0.05},
    "penalty": {"uid": 20.0, "mid": 50.0, "first_order": 5.0, "deep": 1e-4},
    "training": AVERAGED,
    "selection": "all rows",
}
"""The full model of chapter 11, with all fields, history, time, stretches, a penalty per table and averaged weights."""


WITHOUT_HISTORY = {name: FULL[name] for name in FULL if name not in ("history", "stretches")} | {
    "penalty": {"first_order": 5.0, "deep": 3e-4}
}
"""`FULL` without history and time, for comparisons; its penalties were chosen without these fields."""


def changed(recipe: Recipe, *changes: Recipe) -> dict:
    """Returns the recipe with the arguments of the changes in place of its own, section by section.

    The recipe that is passed stays as it is.

    >>> from deepfm_helpers import recipes
    >>> larger = recipes.changed(recipes.WITHOUT_HISTORY, {"model": {"k": 40}}, {"selection": "refit"})
    >>> larger["model"]["k"], larger["model"]["dnn_dim"], larger["selection"]
    (40, (64, 32), 'refit')
    >>> recipes.WITHOUT_HISTORY["model"]["k"]
    24
    """
    result = dict(recipe)
    for change in changes:
        for section, arguments in change.items():
            old = result.get(section)
            both = isinstance(arguments, Mapping) and isinstance(old, Mapping)
            result[section] = {**old, **arguments} if both else arguments
    return result


REPAIRED = changed(models.AS_PUBLISHED, *REPAIRS.values())
"""The post's model with all repairs of chapter 10.

:meta hide-value:"""


@dataclass
class Fitted:
    """A model that a recipe made.

    Attributes:
        model: the trained Keras model.
        fields: the fields of the model, in the order of its inputs.
        history: what `training.train` returned.
        seconds: time for fields, model and training.
        range: lowest and highest possible prediction: stars, or 0 and 1 for clicks.
    """

    model: keras.Model
    fields: Sequence[features.Feature]
    history: pd.DataFrame
    seconds: float
    range: tuple[float, float]

    @property
    def parameters(self) -> int:
        """The number of trained parameters."""
        return sum(int(np.prod(weight.shape)) for weight in self.model.trainable_weights)

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """Returns predictions for joined rows, clipped to `range`, float32 (n,)."""
        x = [field.encode(rows) for field in self.fields]
        return np.clip(evaluation.predict(self.model, x), *self.range)


def fit(recipe: Recipe, data, rows: pd.DataFrame, seed: int, build: Callable | None = None) -> Fitted:
    """Trains the model of a recipe once.

    Args:
        recipe: see the beginning of this module.
        data: a `datasets.MovieLens`, or an `own.data.OwnData`.
        rows: joined training rows, of which the `selection` "best epoch" holds some out, see `members`.
        seed: seed of the split, the stretches, the first weights and the order of the rows.
        build: a function that builds the model, see `members`; None builds the DeepFM.

    Returns:
        The model, its fields, and how the training went.

    Raises:
        ValueError: see `members`.

    How much is it worth to know who rates? Train a model of all six fields, and one without the fields of the user:

    >>> from deepfm_helpers import datasets, evaluation, features, recipes
    >>> data = datasets.load("planted", n_users=200, n_movies=150, n_ratings=8_000)
    >>> rows = datasets.join(data.ratings, data.movies, data.users)
    >>> train, test = features.split_rows(rows, 0.1, seed=1)
    >>> small = recipes.changed(recipes.WITHOUT_HISTORY, {"model": {"k": 8}, "training": {"batch_size": 256}})
    >>> films_only = recipes.changed(small, {"describe": {"fields": ("mid", "genre")}})
    >>> for name, recipe in {"all fields": small, "films only": films_only}.items():
    ...     fitted = recipes.fit(recipe, data, train, seed=1)
    ...     print(f"{name}: {evaluation.rmse(test.rating, fitted.predict(test)):.1f} stars")
    all fields: 0.8 stars
    films only: 0.9 stars
    """
    return next(members(recipe, data, rows, [seed], build))


def members(
    recipe: Recipe, data, rows: pd.DataFrame, seeds: Iterable[int], build: Callable | None = None
) -> Iterator[Fitted]:
    """Trains the model of a recipe once for each seed, for a mean of the scores.

    What does not depend on the seed is computed once.

    Args:
        recipe: see the beginning of this module.
        data: a `datasets.MovieLens`, or an `own.data.OwnData`, whose fields are those that its layout names.
        rows: joined training rows. With the `selection` "best epoch" (the default) the recipe's split takes validation
            rows from them, and the weights of the best epoch are kept; "refit" then trains again on all rows, for as
            many epochs; "all rows" trains on all rows for the recipe's epochs.
        seeds: seeds of the split, the stretches, the first weights and the order of the rows.
        build: a function that takes the keyword arguments of `models.deep_fm_model` and returns a model; None builds
            the DeepFM.

    Yields:
        One `Fitted` for each seed.

    Raises:
        ValueError: a section, the `selection`, the `schedule` or a name in `penalty` is unknown.
    """
    if unknown := set(recipe) - set(SECTIONS):
        raise ValueError(f"a recipe has no section {', '.join(unknown)}; choose from {', '.join(SECTIONS)}")
    selection = recipe.get("selection", "best epoch")
    if selection not in ("best epoch", "refit", "all rows"):
        raise ValueError(f"selection = {selection!r}: choose best epoch, refit or all rows")
    return _members(recipe, selection, data, rows, seeds, build)


def _members(recipe, selection, data, rows, seeds, build) -> Iterator[Fitted]:
    of_all_rows = None
    for seed in seeds:
        started = time.perf_counter()
        epochs = None
        if selection != "all rows":
            kept, valid = features.split_rows(rows, seed=seed, **recipe["split"])
            model, fields, log = _train(recipe, data, _fields(recipe, data, kept), kept, valid, seed, build)
            epochs = checkpoints.best_epoch(log.to_dict("records"))
        if selection != "best epoch":
            of_all_rows = of_all_rows or _fields(recipe, data, rows)
            model, fields, log = _train(recipe, data, of_all_rows, rows, None, seed, build, epochs)
        possible = (0.0, 1.0) if anatomy.task(model) == "click" else data.range
        yield Fitted(model, fields, log, time.perf_counter() - started, possible)


def _fields(recipe, data, rows) -> tuple[features.Feature, ...]:
    """Describes the fields of a recipe that do not depend on a seed."""
    own = getattr(data, "fields", None)  # of a table of one's own
    fields = own(rows) if own else features.describe(data, **recipe.get("describe", {}))
    return fields + history.describe(data, rows, **recipe["history"]) if "history" in recipe else fields


def _train(recipe, data, fields, rows, valid, seed, build, stop_after=None):
    training.set_seed(seed)
    named = {field.name: field for field in fields}
    if "stretches" in recipe:
        fields += history.stretches(rows, seed=seed, **recipe["stretches"])
    fields += tuple(features.cross(named[a], named[b]) for a, b in recipe.get("crosses", ()))
    options = {"task": data.task} if getattr(data, "task", "rating") != "rating" else {}
    options |= recipe["model"]
    if options.get("mean_rating") == "train":
        options["mean_rating"] = float(rows.rating.mean())
    if (penalty := recipe.get("penalty")) is not None:
        options["table_l2"] = _factors(penalty, fields, len(rows))
    model = (build or builders.deep_fm)(features=fields, **options)
    asked = dict(recipe["training"])
    steps = max(round(len(rows) / asked["batch_size"]), min(100, len(rows) // 16))
    # All batches have about the same size: a last batch of a few rows would make a wild step.
    asked["batch_size"] = -(-len(rows) // steps)
    asked["learning_rate"] = _schedule(
        asked.pop("schedule", "constant"), asked["learning_rate"], steps, steps * asked["epochs"]
    )
    if stop_after:
        asked["epochs"] = stop_after
    xy = features.df2xy(rows, fields)
    valid_xy = None if valid is None else features.df2xy(valid, fields)
    return model, fields, training.train(model, xy, valid_xy, seed=seed, **asked)


def _factors(penalty: Mapping[str, float], fields: Sequence[features.Feature], n: int) -> dict[str, float]:
    """Converts the section `penalty` to a factor for every table beside the mean squared error of n rows."""
    asked = dict(penalty)
    times, of_fields, deep = asked.pop("times", 1.0), asked.pop("fields", None), asked.pop("deep", 0.0)
    own = {field.name: field.penalty if of_fields is None else of_fields for field in fields}
    own["first_order"] = 0.0
    if unknown := set(asked) - set(own):
        raise ValueError(
            f"penalty: the model has no field {', '.join(sorted(unknown))}; "
            f"choose from {', '.join(own)}, fields, times and deep"
        )
    return {name: times * value / n for name, value in (own | asked).items()} | {"deep": deep}


def _schedule(name: str, rate: float, steps: int, all_steps: int):
    """Returns the rate or its schedule: "warm" rises to the rate in half an epoch, "cosine" falls to 0 after that."""
    if name == "constant":
        return rate
    decay = {"warm": 10**9, "cosine": all_steps}
    if name not in decay:
        raise ValueError(f"schedule = {name!r}: choose constant, warm or cosine")
    rise = max(steps // 2, 1)
    return keras.optimizers.schedules.CosineDecay(
        rate / 10, max(decay[name] - rise, 1), warmup_target=rate, warmup_steps=rise
    )

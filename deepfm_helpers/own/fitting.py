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
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from deepfm_helpers import anatomy, features, models, recipes
from deepfm_helpers.own import judging
from deepfm_helpers.own.data import OwnData
from deepfm_helpers.own.progress import Training

SPREAD_OF_STARS = 1.1
"""Standard deviation of the ratings for which the penalties of the recipe were chosen, in stars."""

TIMES_FOR_CLICKS = 0.25
EPOCHS = 60
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
        seconds: time that it took to train the model.
    """

    data: OwnData
    model: object
    fields: tuple[features.Feature, ...]
    recipe: recipes.Recipe
    seed: int
    epochs: int
    validation: Mapping[str, list[float]]
    unit: float
    figures: pd.DataFrame
    seconds: float


def recipe_of(data: OwnData, epochs: int = EPOCHS, k: int | None = None) -> dict:
    """Returns the recipe for a dataset, see the beginning of this module.

    Args:
        data: the dataset.
        epochs: largest number of epochs.
        k: length of the vectors; None: that of the book's recipe.
    """
    n, split = len(data.parts["train"]), data.layout.split
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
    data: OwnData,
    *,
    epochs: int = EPOCHS,
    k: int | None = None,
    seed: int | None = None,
    recipe: recipes.Recipe | None = None,
) -> Fit:
    """Trains a DeepFM on a dataset, and judges it on the test rows.

    For clicks a logistic regression on the same fields, that is, the first order alone, is trained in the same way and
    judged beside the model.

    Args:
        data: the dataset.
        epochs, k: see `recipe_of`.
        seed: seed of the first weights and of the order of the rows; another seed than that of the split also draws
            other validation rows, unless the split is by time. None: the seed of the split.
        recipe: changes to the recipe, see `recipes.changed`.

    Raises:
        DataError: a column cannot become a field, see `OwnData.fields`.
        ValueError: the recipe breaks a rule, see `recipes.members`.
        FloatingPointError: the training has diverged.
    """
    seed = data.layout.split.seed if seed is None else seed
    recipe = recipes.changed(recipe_of(data, epochs, k), recipe or {})
    *_, test = data.split()
    rest = data.learned()
    unit = 1.0 if data.task == "click" else float(rest.rating.std(ddof=0)) / SPREAD_OF_STARS or 1.0
    small = rest.assign(rating=(rest.rating / unit).astype("float32"))

    def trained(what: str, build=None) -> tuple[recipes.Fitted, Training]:
        watch = Training(what)
        asked = recipes.changed(recipe, {"training": {"callbacks": (watch,)}})
        return recipes.fit(asked, data, small, seed, build), watch

    predictions = {}
    if data.task == "click":
        predictions["logistic regression"] = trained("logistic regression", _first_order)[0].predict(test)
    fitted, watch = trained("DeepFM")
    in_units(fitted.model, fitted.fields, unit)
    predictions["DeepFM"] = fitted.predict(test)
    return Fit(
        data=data,
        model=fitted.model,
        fields=tuple(fitted.fields),
        recipe=recipe,
        seed=seed,
        epochs=len(fitted.history),
        validation={name: [unit * error for error in errors] for name, errors in watch.validation.items()},
        unit=unit,
        figures=judging.figures(data.task, rest, test, predictions),
        seconds=fitted.seconds,
    )


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

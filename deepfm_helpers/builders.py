"""What `recipes.fit` can build in place of a DeepFM: one without some fields, one in branches (chapter 11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import compress

from deepfm_helpers import anatomy, models
from deepfm_helpers._keras import keras
from deepfm_helpers.features import Feature
from deepfm_helpers.layers import Offset

ops = keras.ops
Build = Callable[..., keras.Model]


def deep_fm(**options) -> keras.Model:
    """Builds the DeepFM that `models.deep_fm_model` describes, without the models of its parts."""
    return models.deep_fm_model(**options)[-1]


def without(*names: str, build: Build = deep_fm) -> Build:
    """Returns a function that builds a model with inputs for all fields, of which it does not read those named.

    Args:
        names: names of fields.
        build: builds the model of the other fields.

    Returns:
        A `build` for `recipes.fit`. It raises ValueError if there is no field of a name.
    """

    def blind(*, features: Sequence[Feature], table_l2: Mapping[str, float] | None = None, **options):
        if unknown := set(names) - {field.name for field in features}:
            raise ValueError(f"there is no field {', '.join(sorted(unknown))} to leave out")
        read = [field.name not in names for field in features]
        inputs = models.define_input_layers(features)
        penalties = {name: factor for name, factor in (table_l2 or {}).items() if name not in names}
        model = build(features=list(compress(features, read)), table_l2=penalties, **options)
        return keras.Model(inputs, model(list(compress(inputs, read))))

    return blind


@keras.saving.register_keras_serializable(package="deepfm_helpers")
class MeanOfBranches(keras.layers.Layer):
    """The mean of several scores, which adds to the loss what makes each branch learn as if it were alone.

    For ratings this is the mean square distance of the scores from their mean: with the squared error of the mean it is
    the mean of the squared errors of the branches (Krogh and Vedelsby 1995; equation eq-branches, chapter 11). For
    clicks, of whose log-odds a row's log-loss is the softplus less a product with the target, it is the mean softplus
    less the softplus of the mean.

    Input shape: a list of tensors (batch, 1). Output shape: (batch, 1).
    """

    def __init__(self, task: str = "rating", **kwargs):
        super().__init__(**kwargs)
        self.task = task

    def call(self, branches):
        stacked = ops.stack(branches)
        mean = ops.mean(stacked, axis=0)
        if self.task == "click":
            self.add_loss(ops.mean(ops.mean(ops.softplus(stacked), axis=0) - ops.softplus(mean)))
        else:
            self.add_loss(ops.mean(ops.square(stacked - mean)))
        return mean

    def get_config(self):
        return super().get_config() | {"task": self.task}

    def compute_output_shape(self, shapes):
        return tuple(shapes[0])


def branched(n: int) -> Build:
    """Returns a function that builds a DeepFM in n branches.

    All branches share the constant and the first order. Each has vectors and a network of its own, and learns from its
    own error; the score is the mean. Gorishniy et al. (*TabM*, 2025) build networks for tables in this manner, of which
    the branches share more.

    Args:
        n: how many branches.

    Returns:
        A `build` for `recipes.fit`. Its arguments are `features`, `k`, `dnn_dim`, `dnn_dr`, `task`, `mean_rating`,
        `embedding_spread` and `table_l2` of `models.deep_fm_model`; `k` and `dnn_dim` are those of one branch.

    Raises:
        ValueError: n is below 1.
    """
    if n < 1:
        raise ValueError(f"n = {n}: a model has at least one branch")

    def in_branches(
        *,
        features: Sequence[Feature],
        k: int = 16,
        dnn_dim: Sequence[int] = (64, 32),
        dnn_dr: float = 0.2,
        task: str = "rating",
        mean_rating: float | None = None,
        embedding_spread: float | None = 0.01,
        table_l2: Mapping[str, float] | None = None,
    ) -> keras.Model:
        inputs = models.define_input_layers(features)
        spread = {"embedding_spread": embedding_spread}
        first_order = models.fm_1d(inputs, features=features, table_l2=table_l2, **spread)
        # The loss of a branch counts one nth, and so do the penalties on its weights.
        share = {name: factor / n for name, factor in (table_l2 or {}).items()}
        narrow = [field for field in features if not field.wide]
        read = [x for x, field in zip(inputs, features, strict=True) if not field.wide]
        constant = Offset(models.start_of(task, mean_rating), name=anatomy.SCORE)
        predictions = []
        for number in range(1, n + 1):
            x = models.define_input_layers(narrow)
            second_order, vectors = models.fm_2d(x, k=k, features=narrow, table_l2=share, **spread)
            deep = models.deep_part(vectors, dnn_dim, dnn_dr, weight_l2=share.get("deep", 0.0))
            both = keras.layers.Add()([second_order, deep])
            branch = keras.Model(x, both, name=f"branch_{number}")
            predictions.append(keras.layers.Add()([first_order, branch(read)]))
        if task == "click":  # what a branch adds to the loss depends on the constant, too
            predictions = [constant(prediction) for prediction in predictions]
            score = MeanOfBranches(task)(predictions)
        else:
            score = constant(MeanOfBranches()(predictions))
        return keras.Model(inputs, models.predicted(score, task))

    return in_branches

"""The models of the book, built from field descriptions: FM, DeepFM and Wide & Deep.

The functions carry the post's names and accept its positional arguments. Their defaults are the book's choices;
`AS_PUBLISHED` holds the arguments that reproduce the post.

With `task="click"` the same models predict the probability of a 1: their score, the sum of the parts, is in log-odds,
and a sigmoid is taken of it, once. With `task="rating"` the score is in stars.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from deepfm_helpers import anatomy
from deepfm_helpers._keras import keras
from deepfm_helpers.features import Feature, post_features
from deepfm_helpers.layers import (
    BatchL2,
    Embedding,
    KnownEmbedding,
    Offset,
    OneHotEmbedding,
    PairwiseInteractions,
    PoolValues,
)

layers = keras.layers

TASKS = ("rating", "click")
"""What a model can predict, stars or the probability of a 1."""

PARTS = tuple(anatomy.PART_LAYERS)
"""The three parts of a DeepFM score, in the order in which the post concatenates them."""

FEW_VALUES = 100
"""A field with at most this many values gets a `layers.OneHotEmbedding` for its table."""

AS_PUBLISHED = {
    "describe": {
        "fields": ("user_fea3", "uid", "mid", "genre"),
        "n_genre": 14,
        "slots": 3,
        "truncating": "pre",
        "pooling": "mean_with_padding",
    },
    "model": {
        "k": 20,
        "dnn_dim": (64, 64),
        "dnn_dr": 0.5,
        "numeric_bias": True,
        "embedding_spread": None,
        "dropout_on_embeddings": True,
        "deep_activation": "relu",
        "head": "dense",
        "mean_rating": 0.0,
        "l2": 0.0,
    },
    "split": {"held": 0.1, "by": "tail"},
    "training": {"epochs": 30, "batch_size": 2048, "learning_rate": 1e-3, "patience": 3},
}
"""Keyword arguments that reproduce the post, for `describe`, `deep_fm_model`, `split_rows` and `train`.

`k` and `dnn_dim` are missing from the post's text; they are those of its author's public notebook."""


def define_input_layers(features: Sequence[Feature] | None = None) -> list:
    """Makes one Keras input per field, (None, 1), or (None, slots) for a multi-valued field (chapter 3).

    Args:
        features: field descriptions; None means the post's four.
    """
    features = post_features(0, 0, 0) if features is None else features
    return [
        keras.Input((f.slots,), name=f.input_name, dtype="float32" if f.kind == "numeric" else "int32")
        for f in features
    ]


def fm_1d(
    inputs: list,
    n_uid: int | None = None,
    n_mid: int | None = None,
    n_genre: int | None = None,
    *,
    features: Sequence[Feature] | None = None,
    numeric_bias: bool = False,
    embedding_spread: float | None = 0.01,
    l2: float = 0.0,
    table_l2: Mapping[str, float] | None = None,
):
    """Builds the first order of the FM, the sum of one weight per feature value (equation eq-first-order, chapter 3).

    Args:
        inputs: what `define_input_layers` returned.
        n_uid, n_mid, n_genre: largest ids of the post's fields, when `features` is not given.
        features: field descriptions, in the order of the inputs.
        numeric_bias: give a numeric field a constant of its own, as the post's Dense layer does.
        embedding_spread: standard deviation of the weights at the start; None: Keras' default (the post).
        l2: penalty on the squares of the weights that a row uses, see `layers.BatchL2`.
        table_l2: penalties on the squares of a whole table, whatever the batch uses (Keras' regularizers). The factor
            under a field's name is for its vectors, or, for a wide field, for its weights; the factor under
            "first_order" is for the weights of all other fields.

    Returns:
        Tensor (None, 1), in stars or log-odds.

    Raises:
        ValueError: neither sizes nor features are given, or `table_l2` names no field.
    """
    features = _features(features, n_uid, n_mid, n_genre)
    if unknown := set(table_l2 or {}) - {f.name for f in features} - {"first_order", "deep"}:
        raise ValueError(f"table_l2: no field {', '.join(sorted(unknown))}, and not first_order or deep")
    embedded, _ = _embed(features, inputs, 1, "1d", numeric_bias, embedding_spread, l2, table_l2)
    terms = [
        layers.Reshape((1,), name=anatomy.step_name("flat", "1d", f.name))(e)
        for f, e in zip(features, embedded, strict=True)
    ]
    name = anatomy.PART_LAYERS["first_order"]
    return layers.Add(name=name)(terms) if len(terms) > 1 else layers.Identity(name=name)(terms[0])


def fm_2d(
    inputs: list,
    n_uid: int | None = None,
    n_mid: int | None = None,
    n_genre: int | None = None,
    k: int = 16,
    *,
    features: Sequence[Feature] | None = None,
    numeric_bias: bool = False,
    embedding_spread: float | None = 0.01,
    l2: float = 0.0,
    table_l2: Mapping[str, float] | None = None,
):
    """Builds the second order of the FM, the dot products of all pairs of fields (equation eq-fm-fast, chapter 4).

    Args:
        inputs, n_uid, n_mid, n_genre, features, numeric_bias, embedding_spread, l2, table_l2: as in `fm_1d`.
        k: length of the vectors.

    Returns:
        The sum, a tensor (None, 1) in stars or log-odds, which includes the pairs inside a field with pooling
        "multi_hot"; and the vectors, (None, p, k), one for each field that is not wide, which the deep part shares.

    Raises:
        ValueError: neither sizes nor features are given.
    """
    features = _features(features, n_uid, n_mid, n_genre)
    inputs, features = zip(
        *((x, f) for x, f in zip(inputs, features, strict=True) if not f.wide), strict=True
    )
    pooled, raw = _embed(features, inputs, k, "2d", numeric_bias, embedding_spread, l2, table_l2)
    embed_2d = layers.Concatenate(axis=1, name=anatomy.VECTORS)(pooled) if len(pooled) > 1 else pooled[0]
    within = [
        PairwiseInteractions(name=anatomy.within_name(f.name))(values, x)
        for f, x, values in zip(features, inputs, raw, strict=True)
        if f.kind == "multi" and f.pooling == "multi_hot"
    ]
    name = anatomy.PART_LAYERS["second_order"]
    between = PairwiseInteractions(name=anatomy.BETWEEN if within else name)(embed_2d)
    return (layers.Add(name=name)([between, *within]) if within else between), embed_2d


def deep_part(
    embed_2d,
    dnn_dim: Sequence[int],
    dnn_dr: float,
    *,
    dropout_on_embeddings: bool = False,
    deep_activation: str | None = None,
    weight_l2: float = 0.0,
):
    """Builds the network on the shared vectors (equation eq-deep, chapter 5).

    Args:
        embed_2d: tensor (None, p, k).
        dnn_dim: sizes of the hidden layers, each with a ReLU.
        dnn_dr: probability of dropping a unit (the DeepFM paper states the probability of keeping one).
        dropout_on_embeddings: drop entries of the vectors too, before the first layer, as the post does.
        deep_activation: activation of the output; the post's "relu" can never lower a score.
        weight_l2: penalty on the squares of the layers' weights.

    Returns:
        Tensor (None, 1), in stars or log-odds.
    """
    y_dnn = layers.Flatten(name=anatomy.LAID_END_TO_END)(embed_2d)
    for i, h in enumerate(dnn_dim):
        if dnn_dr and (i or dropout_on_embeddings):
            y_dnn = layers.Dropout(dnn_dr)(y_dnn)
        y_dnn = layers.Dense(
            int(h),
            activation="relu",
            kernel_regularizer=_squares(weight_l2),
            name=anatomy.hidden_name(i + 1),
        )(y_dnn)
    if dnn_dr and not dropout_on_embeddings:
        y_dnn = layers.Dropout(dnn_dr)(y_dnn)
    return layers.Dense(
        1,
        activation=deep_activation,
        kernel_regularizer=_squares(weight_l2),
        name=anatomy.PART_LAYERS["deep"],
    )(y_dnn)


def deep_fm_model(
    n_uid: int | None = None,
    n_mid: int | None = None,
    n_genre: int | None = None,
    k: int = 16,
    dnn_dim: Sequence[int] = (64, 32),
    dnn_dr: float = 0.2,
    *,
    features: Sequence[Feature] | None = None,
    task: str = "rating",
    mean_rating: float | None = None,
    head: str = "sum",
    parts: Sequence[str] = PARTS,
    numeric_bias: bool = False,
    embedding_spread: float | None = 0.01,
    dropout_on_embeddings: bool = False,
    deep_activation: str | None = None,
    l2: float = 0.0,
    table_l2: Mapping[str, float] | None = None,
) -> tuple[keras.Model, keras.Model, keras.Model, keras.Model]:
    """Builds DeepFM and its three parts, as models that share inputs and weights (Guo et al. 2017; chapter 6).

    Args:
        n_uid, n_mid, n_genre: largest ids of the post's fields, when `features` is not given.
        k, dnn_dim, dnn_dr: see `fm_2d` and `deep_part`.
        features: field descriptions, see `features.describe`.
        task: "rating", or "click" for targets 0 and 1.
        mean_rating: start of the constant of the score. For ratings a number of stars (None: 0, as in the post); for
            clicks the share of ones, at whose log-odds the constant starts (None: one half).
        head: "sum" adds the three parts and w0 (equation eq-deepfm); "dense" weights them first (the post).
        parts: which of first_order, second_order and deep enter the score (chapter 9 leaves one out).
        numeric_bias, embedding_spread, l2: see `fm_1d` and `fm_2d`.
        table_l2: see `fm_1d`; the factor under "deep" is for the weights of the network.
        dropout_on_embeddings, deep_activation: see `deep_part`.

    Returns:
        fm_model_1d, fm_model_2d, deep_model, deep_fm_model; each maps the inputs to (None, 1): the parts to stars or
        log-odds, the whole to stars or a probability.

    Raises:
        ValueError: `task`, `head` or `parts` is unknown; for clicks `mean_rating` is not between 0 and 1; or see
            `fm_1d`.
    """
    features = _features(features, n_uid, n_mid, n_genre)
    inputs = define_input_layers(features)
    shared = {
        "features": features,
        "numeric_bias": numeric_bias,
        "embedding_spread": embedding_spread,
        "l2": l2,
        "table_l2": table_l2,
    }
    y_fm_1d = fm_1d(inputs, **shared)
    y_fm_2d, embed_2d = fm_2d(inputs, k=k, **shared)
    y_dnn = deep_part(
        embed_2d,
        dnn_dim,
        dnn_dr,
        dropout_on_embeddings=dropout_on_embeddings,
        deep_activation=deep_activation,
        weight_l2=(table_l2 or {}).get("deep", 0.0),
    )
    chosen = [y for name, y in zip(PARTS, (y_fm_1d, y_fm_2d, y_dnn), strict=True) if name in parts]
    if len(chosen) != len(parts) or not parts:
        raise ValueError(f"parts = {parts!r}: choose from {', '.join(PARTS)}")
    y = _head(chosen, head, task, mean_rating)
    return tuple(keras.Model(inputs, output) for output in (y_fm_1d, y_fm_2d, y_dnn, y))


def fm_model(
    features: Sequence[Feature],
    k: int = 16,
    *,
    task: str = "rating",
    mean_rating: float | None = None,
    embedding_spread: float | None = 0.01,
    l2: float = 0.0,
    table_l2: Mapping[str, float] | None = None,
) -> keras.Model:
    """Builds a factorization machine alone: w0 + first order + pairs (Rendle 2010, equation 1).

    With uid and mid as its only fields it is matrix factorization with biases. `k=0` leaves out the pairs.

    Args:
        features, k, task, mean_rating, embedding_spread, l2, table_l2: see `deep_fm_model`.

    Returns:
        A model from the inputs to stars or a probability, (None, 1).
    """
    inputs = define_input_layers(features)
    shared = {"features": features, "embedding_spread": embedding_spread, "l2": l2, "table_l2": table_l2}
    parts = [fm_1d(inputs, **shared)]
    if k:
        parts.append(fm_2d(inputs, k=k, **shared)[0])
    return keras.Model(inputs, _head(parts, "sum", task, mean_rating))


def wide_deep_model(
    features: Sequence[Feature],
    crosses: Sequence[Feature],
    k: int = 16,
    dnn_dim: Sequence[int] = (64, 32),
    dnn_dr: float = 0.2,
    *,
    task: str = "rating",
    mean_rating: float | None = None,
    embedding_spread: float | None = 0.01,
    table_l2: Mapping[str, float] | None = None,
) -> keras.Model:
    """Builds Wide & Deep: a linear model of fields and crosses plus a network on vectors (Cheng et al. 2016).

    The inputs are those of the features, followed by those of the crosses. The vectors serve the network alone.

    Args:
        features: fields of both sides.
        crosses: crossed fields for the wide side alone, see `features.cross`.
        k, dnn_dim, dnn_dr, task, mean_rating, embedding_spread, table_l2: see `deep_fm_model`.

    Returns:
        A model from the inputs to stars or a probability, (None, 1).
    """
    everything = [*features, *crosses]
    inputs = define_input_layers(everything)
    shared = {"embedding_spread": embedding_spread, "table_l2": table_l2}
    wide = fm_1d(inputs, features=everything, **shared)
    _, embed_2d = fm_2d(inputs[: len(features)], k=k, features=features, **shared)
    deep = deep_part(embed_2d, dnn_dim, dnn_dr, weight_l2=(table_l2 or {}).get("deep", 0.0))
    return keras.Model(inputs, _head([wide, deep], "sum", task, mean_rating))


def _features(features, n_uid, n_mid, n_genre) -> Sequence[Feature]:
    """Returns the field descriptions: those given, or the post's four with the sizes given."""
    if features is not None:
        return features
    if None in (n_uid, n_mid, n_genre):
        raise ValueError("give either features=… or all of n_uid, n_mid and n_genre")
    return post_features(n_uid, n_mid, n_genre)


def _squares(factor: float):
    """Returns Keras' penalty factor · Σ w²; None for a factor of 0."""
    return keras.regularizers.L2(factor) if factor else None


def _embed(
    features,
    inputs,
    k: int,
    order: str,
    numeric_bias: bool,
    spread: float | None,
    l2: float,
    table_l2: Mapping[str, float] | None,
) -> tuple:
    """Builds for every field one vector per row, (None, 1, k), and its values' vectors before pooling, or None."""
    table_l2 = table_l2 or {}

    def start(default: str):  # one initializer for each table: a shared one would draw the same numbers again
        return default if spread is None else keras.initializers.RandomNormal(stddev=spread)

    k = int(k)
    pooled, raw = [], []
    for feature, x in zip(features, inputs, strict=True):
        first_order = table_l2.get("first_order", 0.0)
        own = table_l2.get(feature.name, first_order if feature.wide else 0.0)
        penalty = _squares(own if order == "2d" or feature.wide else first_order)
        name = anatomy.table_name(feature.kind, order, feature.name)

        def step(step: str, feature=feature) -> str:
            return anatomy.step_name(step, order, feature.name)

        values = None
        if feature.kind == "numeric":
            dense = layers.Dense(
                k,
                use_bias=numeric_bias,
                kernel_initializer=start("glorot_uniform"),
                kernel_regularizer=penalty,
                name=name,
            )
            vector = layers.Reshape((1, k), name=step("row"))(dense(x))
        elif feature.kind == "known":
            known = KnownEmbedding(*feature.table.shape, k, start("glorot_uniform"), penalty, name=name)
            vector = known(x)
            known.table.assign(feature.table)
        else:
            pooling = feature.pooling if feature.kind == "multi" else None
            apart = l2 or pooling == "multi_hot"  # the vectors of the single values are needed
            embedding = OneHotEmbedding if feature.size <= FEW_VALUES else Embedding
            vector = values = embedding(
                feature.size + 1,
                k,
                start("uniform"),
                embeddings_regularizer=penalty,
                pooling=None if apart else pooling,
                name=name,
            )(x)
            if l2:
                vector = values = BatchL2(l2, name=step("l2"))(values, x)
            if pooling and apart:
                vector = PoolValues(pooling, name=step("pool"))(values, x)
        pooled.append(vector)
        raw.append(values)
    return pooled, raw


def _head(parts: list, head: str, task: str, mean_rating: float | None):
    """Makes one score of the parts, (None, 1), and of the score what the task asks for."""
    if task not in TASKS:
        raise ValueError(f"task = {task!r}: choose {' or '.join(map(repr, TASKS))}")
    constant = start_of(task, mean_rating)
    if head == "sum":
        join, output = layers.Add(name=anatomy.SUM), Offset(constant, name=anatomy.SCORE)
    elif head == "dense":
        start = keras.initializers.Constant(constant)
        join, output = layers.Concatenate(), layers.Dense(1, bias_initializer=start, name=anatomy.SCORE)
    else:
        raise ValueError(f"head = {head!r}: choose 'sum' or 'dense'")
    return predicted(output(join(parts) if len(parts) > 1 else parts[0]), task)


def start_of(task: str, mean_rating: float | None) -> float:
    """Returns at which score a model starts that predicts the mean of its training rows, in stars or log-odds.

    Raises:
        ValueError: for clicks, the mean is not between 0 and 1.
    """
    if task == "rating":
        return 0.0 if mean_rating is None else mean_rating
    share = 0.5 if mean_rating is None else float(mean_rating)
    if not 0 < share < 1:
        raise ValueError(
            f"mean_rating = {mean_rating}: with the task 'click' it is the share of ones among the training rows, "
            "above 0 and below 1"
        )
    return math.log(share / (1 - share))


def predicted(score, task: str):
    """Returns what a model of the task predicts, a tensor like the score: the score itself, or its sigmoid."""
    return layers.Activation("sigmoid", name=anatomy.PROBABILITY)(score) if task == "click" else score

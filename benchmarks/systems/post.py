"""The post's code on Keras 3: its inputs, layers, optimizer, callbacks and `fit` on arrays, step for step.

What had to change: `Lambda` layers call `keras.ops`, the file of weights ends in `.weights.h5`, and `k` and
`dnn_dim`, which the post's text lacks, come from the request (20 and (64, 64) in its author's notebook).
"""

import tempfile
from pathlib import Path

import keras
from keras import layers, ops

from benchmarks.systems import protocol


def build(sizes: dict, k: int, dnn_dim: list[int], dropout: float = 0.5) -> keras.Model:
    occupation = keras.Input((1,), name="input_fea3")
    uid, mid = keras.Input((1,), name="input_uid"), keras.Input((1,), name="input_mid")
    genre = keras.Input((3,), name="input_genre")

    def embed(name, width, x, **options):
        return layers.Embedding(sizes[name] + 1, width, **options)(x)

    def function(f, x):
        return layers.Lambda(f)(x)

    flat, row = layers.Reshape((1,)), layers.Reshape((1, k))
    genre_weights = embed("post_genre", 1, genre, mask_zero=True)
    first_order = layers.Add()(
        [
            layers.Dense(1)(occupation),
            flat(embed("uid", 1, uid)),
            flat(embed("mid", 1, mid)),
            function(lambda x: ops.mean(x, axis=1), genre_weights),
        ]
    )

    genre_vectors = embed("post_genre", k, genre)
    vectors = layers.Concatenate(axis=1)(
        [
            row(layers.Dense(k)(occupation)),
            embed("uid", k, uid),
            embed("mid", k, mid),
            function(lambda x: ops.mean(x, axis=1, keepdims=True), genre_vectors),
        ]
    )
    total = layers.Lambda(lambda x: ops.sum(x, axis=1))
    summed = total(vectors)
    of_sum = layers.Multiply()([summed, summed])
    of_squares = total(function(ops.square, vectors))
    pairs = function(lambda x: 0.5 * x, layers.Subtract()([of_sum, of_squares]))
    second_order = flat(total(pairs))

    deep = layers.Flatten()(vectors)
    for width in dnn_dim:
        deep = layers.Dense(width, activation="relu")(layers.Dropout(dropout)(deep))
    deep = layers.Dense(1, activation="relu")(deep)

    score = layers.Dense(1)(layers.Concatenate()([first_order, second_order, deep]))
    return keras.Model([occupation, uid, mid, genre], score)


def fit(rows: dict, request: dict, *more) -> keras.Model:
    """Train as the post does, on 90 % of the training rows, and load the best weights in the end."""
    keras.utils.set_random_seed(request["seed"])
    model = build(protocol.sizes(rows), request["k"], request["dnn_dim"])
    model.compile(loss="mse", optimizer="adam")
    with tempfile.TemporaryDirectory() as folder:
        best = Path(folder) / "deepfm.weights.h5"
        model.fit(
            inputs(rows, "train"),
            rows["train_rating"],
            validation_split=0.1,
            epochs=request["epochs"],
            batch_size=request["batch_size"],
            callbacks=[
                keras.callbacks.ModelCheckpoint(best, save_best_only=True, save_weights_only=True),
                keras.callbacks.EarlyStopping(monitor="val_loss", patience=request["patience"]),
                *more,
            ],
            verbose=0,
        )
        model.load_weights(best)
    return model


def inputs(rows: dict, part: str) -> list:
    return [rows[f"{part}_{name}"] for name in ("occupation_code", "uid", "mid", "post_genre")]


if __name__ == "__main__":
    protocol.serve(**protocol.keras_tasks(keras, fit, inputs))

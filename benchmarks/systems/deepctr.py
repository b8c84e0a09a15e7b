"""DeepCTR's DeepFM on legacy Keras, used as documented, on the same fields, sizes and rows as the book's."""

import os
import sys
import types

os.environ["TF_USE_LEGACY_KERAS"] = "1"
# deepctr asks the package index for newer versions when it is imported; here nothing leaves the machine.
sys.modules["deepctr.utils"] = types.SimpleNamespace(check_version=lambda version: None)

import tf_keras as keras  # noqa: E402
from deepctr.feature_column import DenseFeat, SparseFeat, VarLenSparseFeat  # noqa: E402
from deepctr.models import DeepFM  # noqa: E402

from benchmarks.systems import protocol  # noqa: E402


def fit(rows: dict, request: dict, *more) -> keras.Model:
    keras.utils.set_random_seed(request["seed"])
    sizes, k, columns = protocol.sizes(rows), request["k"], []
    for name in protocol.owners(rows):
        column, slots = SparseFeat(name, sizes[name] + 1, embedding_dim=k), rows[f"train_{name}"].shape[1]
        if sizes[name] == 0:
            column = DenseFeat(name)
        elif slots > 1:
            column = VarLenSparseFeat(column, maxlen=slots, combiner="mean")
        columns.append(column)
    model = DeepFM(
        columns,
        columns,
        dnn_hidden_units=request["dnn_dim"],
        dnn_dropout=request["dropout"],
        seed=request["seed"],
        task="regression",
    )
    model.compile("adam", "mse", metrics=["mse"])
    model.fit(
        inputs(rows, "train"),
        rows["train_rating"],
        validation_split=0.1,
        epochs=request["epochs"],
        batch_size=request["batch_size"],
        callbacks=[
            keras.callbacks.EarlyStopping(patience=request["patience"], restore_best_weights=True),
            *more,
        ],
        verbose=0,
    )
    return model


def inputs(rows: dict, part: str) -> dict:
    return {name: rows[f"{part}_{name}"] for name in protocol.owners(rows)}


if __name__ == "__main__":
    protocol.serve(**protocol.keras_tasks(keras, fit, inputs))

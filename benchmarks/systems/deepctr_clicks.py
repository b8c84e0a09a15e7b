"""DeepCTR's DeepFM for clicks, used as documented, on the same fields, sizes and rows as the other systems."""

from benchmarks.systems import click_protocol, protocol
from benchmarks.systems.deepctr import DeepFM, SparseFeat, VarLenSparseFeat, keras


def fit(rows: dict, request: dict):
    """Fit, with early stopping by the log-loss of the validation rows; see `click_protocol.serve`."""
    keras.utils.set_random_seed(request["seed"])
    columns = []
    for name, size in protocol.sizes(rows).items():
        column, slots = SparseFeat(name, size + 1, embedding_dim=request["k"]), rows[f"train_{name}"].shape[1]
        columns.append(VarLenSparseFeat(column, maxlen=slots, combiner="mean") if slots > 1 else column)
    model = DeepFM(
        columns,
        columns,
        dnn_hidden_units=request["dnn_dim"],
        l2_reg_linear=request["l2"],
        l2_reg_embedding=request["l2"],
        dnn_dropout=request["dropout"],
        seed=request["seed"],
        task="binary",
    )
    loss = "binary_crossentropy"
    model.compile(keras.optimizers.Adam(request["learning_rate"]), loss, metrics=[loss])
    model.fit(
        click_protocol.inputs(rows, "train"),
        rows["train_click"],
        validation_data=(click_protocol.inputs(rows, "valid"), rows["valid_click"]),
        epochs=request["epochs"],
        batch_size=request["batch_size"],
        callbacks=[
            keras.callbacks.EarlyStopping(  # "val_loss" would count the penalties, too
                f"val_{loss}", mode="min", patience=request["patience"], restore_best_weights=True
            )
        ],
        verbose=0,
    )

    def predict(part: str):
        return model.predict(click_protocol.inputs(rows, part), batch_size=16_384, verbose=0)

    return predict, sum(int(weight.shape.num_elements()) for weight in model.trainable_weights)


if __name__ == "__main__":
    click_protocol.serve(fit)

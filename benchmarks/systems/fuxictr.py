"""FuxiCTR's DeepFM on PyTorch for clicks, on the same fields, sizes and rows as the other systems.

The package holds the parts of DeepFM, but not the model: its repository puts them together, in its model zoo. `DeepFM`
here is put together in the same way, and training, early stopping and the rate that falls at a plateau are the
package's. Rows go to it from memory, a batch at a time; the package's own readers read files, row by row.
"""

import tempfile
from pathlib import Path

import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.layers import FactorizationMachine, FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel
from fuxictr.pytorch.torch_utils import seed_everything

from benchmarks.systems import click_protocol, protocol

LABEL = "click"


class DeepFM(BaseModel):
    """The factorization machine plus the network, both on the same embeddings; called with a batch by column."""

    def __init__(self, described: FeatureMap, folder: str, request: dict):
        super().__init__(
            described,
            model_root=folder,
            embedding_regularizer=request["l2"],
            monitor={"AUC": 1, "logloss": -1},
            early_stop_patience=request["patience"],
            metrics=["AUC", "logloss"],
            verbose=0,
        )
        self.embedding_layer = FeatureEmbedding(described, request["k"])
        self.fm = FactorizationMachine(described)
        self.mlp = MLP_Block(
            described.sum_emb_out_dim(),
            hidden_units=request["dnn_dim"],
            output_dim=1,
            dropout_rates=request["dropout"],
        )
        self.compile("adam", "binary_crossentropy", request["learning_rate"])
        self.reset_parameters()

    def forward(self, batch: dict) -> dict:
        ids = self.get_inputs(batch)
        vectors = self.embedding_layer(ids)
        score = self.fm(ids, vectors) + self.mlp(vectors.flatten(start_dim=1))
        return {"y_pred": self.output_activation(score)}


class Batches:
    """The batches of a part, each a dictionary of tensors by column; shuffled anew in each pass if asked for."""

    def __init__(self, rows: dict, part: str, size: int, shuffle: bool = False):
        columns = click_protocol.inputs(rows, part) | {LABEL: rows[f"{part}_click"]}
        self.columns = {
            name: torch.from_numpy(values if values.ndim == 2 and values.shape[1] > 1 else values.ravel())
            for name, values in columns.items()
        }
        self.n, self.size, self.shuffle = len(rows[f"{part}_click"]), size, shuffle

    def __len__(self) -> int:
        return -(-self.n // self.size)

    def __iter__(self):
        order = torch.randperm(self.n) if self.shuffle else torch.arange(self.n)
        for which in order.split(self.size):
            yield {name: values[which] for name, values in self.columns.items()}


def described(rows: dict, folder: str, k: int) -> FeatureMap:
    """Describe the fields to the package: id 0 of a field with several slots is an empty slot."""
    fields = FeatureMap("clicks", folder)
    for name, size in protocol.sizes(rows).items():
        slots = rows[f"train_{name}"].shape[1]
        fields.features[name] = {"type": "categorical", "source": "", "vocab_size": size + 1}
        if slots > 1:
            fields.features[name] |= {
                "type": "sequence", "max_len": slots, "padding_idx": 0,
                "feature_encoder": "layers.MaskedAveragePooling()",
            }  # fmt: skip
    fields.labels, fields.default_emb_dim = [LABEL], k
    fields.num_fields = fields.get_num_fields()
    fields.set_column_index()
    return fields


def fit(rows: dict, request: dict):
    """Fit, with early stopping by AUC minus log-loss of the validation rows; see `click_protocol.serve`."""
    seed_everything(request["seed"])
    with tempfile.TemporaryDirectory() as folder:
        fields = described(rows, folder, request["k"])
        model = DeepFM(fields, folder, request)
        Path(model.model_dir).mkdir()
        model.fit(
            Batches(rows, "train", request["batch_size"], shuffle=True),
            epochs=request["epochs"],
            validation_data=Batches(rows, "valid", 16_384),
        )
    parameters = sum(p.numel() for p in model.parameters())
    return lambda part: model.predict(Batches(rows, part, 16_384)), parameters


if __name__ == "__main__":
    click_protocol.serve(fit)

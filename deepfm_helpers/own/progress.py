"""Progress bars on the terminal; where standard error is no terminal, nothing is printed."""

from __future__ import annotations

from tqdm import tqdm

from deepfm_helpers._keras import keras


def bar(total: int, what: str, unit: str) -> tqdm:
    """Returns a bar that vanishes when it is closed."""
    return tqdm(total=total, desc=what, unit=unit, leave=False, disable=None, dynamic_ncols=True)


class Training(keras.callbacks.Callback):
    """Shows how far a training is, with a bar for each call of `fit`, and keeps the errors on the validation rows.

    Args:
        what: the name of the model.

    Attributes:
        validation: name of the error, such as "val_rmse" -> its value after each epoch.
    """

    def __init__(self, what: str):
        super().__init__()
        self.what, self.validation, self.bar = what, {}, None

    def on_train_begin(self, logs=None):
        self.bar = bar(self.params["epochs"] * self.params["steps"], self.what, " steps")

    def on_epoch_begin(self, epoch, logs=None):
        self.bar.set_description(f"{self.what}, epoch {epoch + 1} of at most {self.params['epochs']}")

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update(batch + 1 - self.bar.n % self.params["steps"])

    def on_epoch_end(self, epoch, logs=None):
        self.bar.update((epoch + 1) * self.params["steps"] - self.bar.n)
        for name in ("val_rmse", "val_log_loss"):
            if name in logs:
                self.validation.setdefault(name, []).append(float(logs[name]))
                self.bar.set_postfix({name: f"{logs[name]:.4f}"})

    def on_train_end(self, logs=None):
        self.bar.close()

"""Imports Keras once, with the settings of the book, and discards what TensorFlow's native code writes while it loads.

A `keras.json` in the reader's home folder may hold other settings: with float16 training diverges, and with
`channels_first` `Flatten` puts the numbers of a vector in another order. A program that needs other settings changes
them after it has imported this module.

TensorFlow's native code writes before it reads its own log level, so no setting silences these lines; in a notebook
they would be stored as output. Python's errors and warnings are untouched.
"""

import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def native_stderr_discarded():
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


try:
    with native_stderr_discarded():
        import keras
except ImportError as error:
    settings = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "keras.json"
    raise ImportError(
        f"Keras cannot be imported: {error}. If that is a backend, KERAS_BACKEND or {settings} asks for it: "
        "install it, or set KERAS_BACKEND=tensorflow"
    ) from error

keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")

__all__ = ["keras", "native_stderr_discarded"]

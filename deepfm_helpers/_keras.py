"""Imports Keras once, in float32, and without the lines that TensorFlow's native code writes while it loads.

Those lines come before TensorFlow reads its own log level, so no setting silences them; in a notebook they
would be stored as output. Python errors and warnings are not touched.
"""

import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def _native_stderr_discarded():
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
    with _native_stderr_discarded():
        import keras
except ImportError as error:
    settings = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "keras.json"
    raise ImportError(
        f"Keras cannot be imported: {error}. If that is a backend, KERAS_BACKEND or {settings} asks for it: "
        "install it, or set KERAS_BACKEND=tensorflow"
    ) from error

keras.config.set_floatx("float32")  # a keras.json may ask for less, with which training diverges

__all__ = ["keras"]

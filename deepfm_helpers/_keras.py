"""Imports Keras once, without the lines that TensorFlow's native code writes to the terminal while it loads.

Those lines come before TensorFlow reads its own log level, so no setting silences them; in a notebook they
would be stored as output. Python errors and warnings are not touched.
"""

import os
from contextlib import contextmanager


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


with _native_stderr_discarded():
    import keras

__all__ = ["keras"]

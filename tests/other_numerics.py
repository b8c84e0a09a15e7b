"""Numerical conditions unlike those of this machine, under which every stated result has to hold.

Another processor adds the same floats in another order. Here the libraries are told to do so: as a module
this file gives the environment for that, as a script it prints what each library computes, down to the last digit.
"""

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np

KNOWN = ("x86_64", "AMD64")  # the machines on which the variables act


def environment() -> dict[str, str]:
    """The variables that have NumPy, OpenBLAS and TensorFlow compute in other orders, and on one thread."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return {
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": " ".join(simd.get("found", []) + simd.get("not found", [])),
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
    }


def require_effect(variables: dict[str, str]) -> None:
    """Make sure that with ``variables`` every library computes other digits than without.

    Raises:
        NotImplementedError: the machine is of a kind on which they do not act.
        RuntimeError: a library computes the same digits, so that a run with them would show nothing.
    """
    if platform.machine() not in KNOWN:
        raise NotImplementedError(f"a {platform.machine()} cannot be told to compute as another processor")
    here = {name: value for name, value in os.environ.items() if name not in variables}
    digits, other_digits = _digits(here), _digits(here | variables)
    if same := [name for name in digits if digits[name] == other_digits[name]]:
        raise RuntimeError(f"the same digits with {variables} as without: {', '.join(same)}")


def _digits(variables: dict[str, str]) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, Path(__file__)], env=variables, capture_output=True, text=True, check=True
    )
    return dict(line.split(": ") for line in done.stdout.splitlines())


def main() -> None:
    """Print a digest of what each library computes."""
    import tensorflow as tf

    a = np.random.default_rng(1).normal(size=(301, 301))
    f = tf.constant(a, "float32")
    for name, values in {
        "OpenBLAS": a @ a,
        "NumPy": np.exp(a),
        "TensorFlow": tf.matmul(f, f).numpy(),
    }.items():
        print(f"{name}: {hashlib.sha256(values.tobytes()).hexdigest()}")


if __name__ == "__main__":
    main()

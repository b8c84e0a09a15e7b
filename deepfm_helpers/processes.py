"""Training in several processes at a time, on the JAX backend (chapter 13).

Each process holds the whole model and all rows. `training.train` gives each an equal share of every batch; JAX adds up
the gradients, so that all of them take the same step. The first process alone writes files.

The same script runs in each process, and calls `start` before anything else::

    from deepfm_helpers import processes

    processes.start("127.0.0.1:9876", size=2, rank=int(sys.argv[1]))
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import NamedTuple

import numpy as np

from deepfm_helpers._keras import keras

_lost = []  # what told that another process has ended
ADVICE = "set KERAS_BACKEND=jax and call deepfm_helpers.processes.start in each process, before anything else"


class Share(NamedTuple):
    """Which part of a batch a process computes: the part number `rank` of `size` equal ones.

    `devices` is the number of processors, of all processes together, over which the batch is spread in the end; it is
    a multiple of `size`.
    """

    rank: int = 0
    size: int = 1
    devices: int = 1


def start(address: str, size: int, rank: int, *, timeout: int = 30) -> None:
    """Makes this process one of several that train together; returns when all of them have called it.

    Whatever is built afterwards is held by all processes alike, so call `training.set_seed` with the same seed in each.

    A process that ends while the others need it ends them too. Where one ends with an error, or is killed, `train`
    raises RuntimeError in the others at once. Where the first one is killed, or another one no longer answers for
    `timeout` seconds, JAX ends the others with a message of its own.

    Args:
        address: "host:port" of the first process; the port is free there.
        size: how many processes there are.
        rank: number of this one, from 0.
        timeout: seconds of silence after which a process counts as lost.

    Raises:
        RuntimeError: another backend than JAX, or JAX has computed something already.
        ValueError: `rank` and `size` do not fit together.
    """
    if keras.backend.backend() != "jax":
        raise RuntimeError(
            f"training in several processes needs the JAX backend, and this is {keras.backend.backend()}: {ADVICE}"
        )
    if not 0 <= rank < size:
        raise ValueError(f"rank = {rank} of size = {size}: the processes have the ranks 0 … size - 1")
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Gloo takes what comes from a peer as it comes; with steps in the background another exchange could get in between.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    jax.distributed.initialize(
        address, size, rank,
        heartbeat_timeout_seconds=timeout,
        shutdown_timeout_seconds=86_400,  # the first one may have much to do when the others are ready
    )  # fmt: skip
    atexit.register(_end_at_once_after_an_error)
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=keras.distribution.list_devices(), auto_shard_dataset=False)
    )


def _end_at_once_after_an_error() -> None:
    """Skips JAX's wait for the others, who may be waiting for this process, or may have ended."""
    if _lost or getattr(sys, "last_value", None) is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def rank() -> int:
    """Number of this process, from 0."""
    if keras.backend.backend() != "jax":
        return 0
    import jax

    return jax.process_index()


def size() -> int:
    """How many processes train together."""
    if keras.backend.backend() != "jax":
        return 1
    import jax

    return jax.process_count()


def share(model: keras.Model) -> Share:
    """The part of each batch that this process has to compute when it trains a model.

    Raises:
        RuntimeError: several processes that would each train on all rows: workers of TensorFlow, or JAX without the
            distribution that `start` sets.
    """
    if keras.backend.backend() == "tensorflow" and (workers := _workers_of_tensorflow(model)) > 1:
        raise RuntimeError(
            f"TensorFlow is told of {workers} workers, but Keras 3 cannot train with more than one there: {ADVICE}; "
            "or unset TF_CONFIG to train in each process by itself"
        )
    if keras.backend.backend() != "jax":
        return Share()
    distribution = keras.distribution.distribution()
    if distribution is None and size() == 1:
        return Share()
    if not isinstance(distribution, keras.distribution.DataParallel) or (
        size() > 1 and distribution.auto_shard_dataset
    ):
        raise RuntimeError(
            f"rows cannot be dealt to {size()} processes with the distribution {distribution}: "
            "it has to be DataParallel with auto_shard_dataset=False, as deepfm_helpers.processes.start sets it"
        )
    return Share(rank(), size(), distribution.num_model_replicas)


def _workers_of_tensorflow(model: keras.Model) -> int:
    import tensorflow as tf

    resolver = model.distribute_strategy.cluster_resolver
    cluster = (resolver or tf.distribute.cluster_resolver.TFConfigClusterResolver()).cluster_spec().as_dict()
    return sum(len(cluster.get(job, ())) for job in ("chief", "worker"))


def in_first(act: Callable) -> Callable:
    """A function that acts in the first process only; all get what it returned there, JSON values or bytes.

    All processes have to call it. If it fails, it raises its error in the first process and RuntimeError in the others.
    """

    @wraps(act)
    def acting(*args, **kwargs):
        if size() == 1:
            return act(*args, **kwargs)
        returned = failed = None
        kind, told = b"E", b""
        if rank() == 0:
            try:
                returned = act(*args, **kwargs)
            except Exception as error:
                failed = error
                told = f"{type(error).__name__}: {error}".encode()
            else:
                is_bytes = isinstance(returned, bytes)
                kind, told = (b"B", returned) if is_bytes else (b"J", json.dumps(returned).encode())
        heard = _from_first(kind + told)
        if failed is not None:
            raise failed
        if rank() == 0:
            return returned
        kind, told = heard[:1], heard[1:]
        if kind == b"E":
            raise RuntimeError(f"the first process failed: {told.decode()}")
        return told if kind == b"B" else json.loads(told)

    return acting


def all_agree(mine: bool) -> bool:
    """Whether `mine` is true in all processes."""
    if size() == 1:
        return mine
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.array([mine], np.int32)).all())


def _from_first(told: bytes) -> bytes:
    from jax.experimental import multihost_utils

    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(told))))
    block = np.zeros(length, np.uint8)
    if rank() == 0:
        block[:] = np.frombuffer(told, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(block), np.uint8).tobytes()


@contextmanager
def together() -> Iterator[None]:
    """Says in plain words if another process is lost while the body runs.

    Raises:
        RuntimeError: another process has ended.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if size() == 1 or "gloo" not in _whole_text(error).lower():
            raise
        _lost.append(error)
        raise RuntimeError(
            f"process {rank()} of {size()}: another process of this training has ended, see what it said. Start all of "
            "them again with the same arguments: with a folder, training goes on after the last finished epoch"
        ) from error


def _whole_text(error: BaseException | None) -> str:
    return f"{error}\n{_whole_text(error.__cause__ or error.__context__)}" if error else ""

"""Trains a model in several processes at once, on the JAX backend (chapter 13).

Each process holds the whole model and all rows. `training.train` gives each an equal share of every batch; JAX adds up
the gradients, so that all processes take the same step. The first process alone writes files.

The same script runs in each process and calls `start` before anything else::

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

_lost = []  # the errors that told that another process has ended
ADVICE = "set KERAS_BACKEND=jax and call deepfm_helpers.processes.start in each process, before anything else"


class Share(NamedTuple):
    """The part of a batch that a process computes: part number `rank`, from 0, of `size` equal parts.

    `devices` is the number of processors, in all processes together, over which the batch is spread; it is a multiple
    of `size`.
    """

    rank: int = 0
    size: int = 1
    devices: int = 1


def start(address: str, size: int, rank: int, *, timeout: int = 30) -> None:
    """Makes this process one of several that train together; returns when all of them have called it.

    All processes have to build the same model afterwards, so call `training.set_seed` with the same seed in each.

    A process that ends while the others need it ends them too. If one ends with an error or is killed, `train` raises
    RuntimeError in the others at once. If the first one is killed, or another one is silent for `timeout` seconds, JAX
    ends the others with a message of its own.

    Args:
        address: "host:port" of the first process, where the port has to be free.
        size: number of processes.
        rank: number of this process, from 0.
        timeout: seconds of silence after which a process counts as lost.

    Raises:
        RuntimeError: the backend is not JAX, or JAX has computed something already.
        ValueError: `rank` is not one of 0 … size − 1.
    """
    if keras.backend.backend() != "jax":
        raise RuntimeError(
            f"training in several processes needs the JAX backend, and this is {keras.backend.backend()}: {ADVICE}"
        )
    if not 0 <= rank < size:
        raise ValueError(f"rank = {rank} of size = {size}: the processes have the ranks 0 … size - 1")
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Gloo takes what a peer sends in the order of arrival; a step in the background could get in between two exchanges.
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
    """Skips JAX's wait for the other processes, which may be waiting for this one or may have ended."""
    if _lost or getattr(sys, "last_value", None) is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def rank() -> int:
    """Returns the number of this process, from 0."""
    if keras.backend.backend() != "jax":
        return 0
    import jax

    return jax.process_index()


def size() -> int:
    """Returns the number of processes that train together."""
    if keras.backend.backend() != "jax":
        return 1
    import jax

    return jax.process_count()


def share(model: keras.Model) -> Share:
    """Returns the part of each batch that this process computes when it trains a model.

    Raises:
        RuntimeError: several processes would each train on all rows, because they are workers of TensorFlow, or because
            JAX lacks the distribution that `start` sets.
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
    """Decorates a function to act in the first process alone and to return its result, JSON values or bytes, in all.

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
    """Tells whether `mine` is true in all processes."""
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
    """Turns the error that a lost process causes while the body runs into one that says so.

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

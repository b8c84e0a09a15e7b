"""The custom layers, each against a few lines of NumPy."""

from itertools import combinations

import numpy as np
import pytest

from deepfm_helpers._keras import keras
from deepfm_helpers.features import POOLINGS
from deepfm_helpers.layers import (
    BatchL2,
    Embedding,
    KnownEmbedding,
    Offset,
    OneHotEmbedding,
    PairwiseInteractions,
    PoolValues,
)

RNG = np.random.default_rng(0)
IDS = np.array([[3, 1, 0], [2, 0, 0], [0, 0, 0], [1, 2, 3], [0, 2, 0]], np.int32)
VECTORS = RNG.normal(size=(5, 3, 4)).astype(np.float32)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def present(row):
    return [vector for vector, i in zip(VECTORS[row], IDS[row], strict=True) if i > 0]


@pytest.mark.parametrize("pooling", ["sum", "multi_hot"])
def test_sum_pooling_adds_the_values_present(pooling):
    out = numpy(PoolValues(pooling)(VECTORS, IDS))
    assert out.shape == (5, 1, 4)
    for row in range(5):
        np.testing.assert_allclose(out[row, 0], sum(present(row), np.zeros(4)), atol=1e-6)


def test_mean_pooling_divides_by_the_number_of_values_present():
    out = numpy(PoolValues("mean")(VECTORS, IDS))
    for row in (0, 1, 3, 4):
        np.testing.assert_allclose(out[row, 0], np.mean(present(row), axis=0), atol=1e-6)
    assert not out[2].any()


def test_mean_with_padding_divides_by_the_number_of_slots():
    np.testing.assert_allclose(
        numpy(PoolValues("mean_with_padding")(VECTORS, IDS))[:, 0], VECTORS.mean(axis=1), atol=1e-6
    )


@pytest.mark.parametrize("pooling", ["mean", "sum", "multi_hot"])
def test_the_vector_of_padding_has_no_say(pooling):
    other = np.where(IDS[..., None] > 0, VECTORS, 1e6).astype(np.float32)
    pool = PoolValues(pooling)
    np.testing.assert_array_equal(numpy(pool(VECTORS, IDS)), numpy(pool(other, IDS)))


@pytest.mark.parametrize("pooling", [None, *POOLINGS])
@pytest.mark.parametrize("table", [Embedding, OneHotEmbedding])
def test_pooling_by_the_table_is_keras_look_up_and_pooling_after_it(table, pooling):
    look_up = keras.layers.Embedding(4, 5)
    expected = look_up(IDS) if pooling is None else PoolValues(pooling)(look_up(IDS), IDS)
    layer = table(4, 5, pooling=pooling)
    layer.build(IDS.shape)
    layer.set_weights(look_up.get_weights())
    np.testing.assert_allclose(numpy(layer(IDS)), numpy(expected), atol=1e-6)
    assert layer.compute_output_shape(IDS.shape) == expected.shape


TABLES = {
    "look-up": lambda: Embedding(5, 2, name="mid"),
    "one-hot rows": lambda: OneHotEmbedding(5, 2, name="mid"),
    "pooled look-up": lambda: Embedding(5, 2, pooling="mean", name="mid"),
    "pooled one-hot rows": lambda: OneHotEmbedding(5, 2, pooling="mean", name="mid"),
    "known": lambda: KnownEmbedding(5, 3, 2, name="mid"),
}


@pytest.mark.parametrize("wrong", [7, 5, -1, 3.5, np.nan])
@pytest.mark.parametrize("made", TABLES)
def test_an_id_without_a_row_is_refused(made, wrong):
    layer = TABLES[made]()
    assert layer(np.array([[0, 4]])).shape[-1] == 2
    with pytest.raises(ValueError, match=f"mid: id {wrong} has no row; the table holds whole numbers 0 … 4"):
        layer(np.array([[1, wrong]]))
    ids = keras.Input((2,), dtype="int32")
    model = keras.Model(ids, layer(ids))
    with pytest.raises(ValueError, match="has no row"):
        model(keras.ops.convert_to_tensor([[9, 1]]))
    assert model.predict(np.array([[0, 4]], np.int32), verbose=0).shape[-1] == 2  # a compiled graph


def test_no_ids_are_no_wrong_ids():
    assert OneHotEmbedding(5, 2)(np.zeros((0, 3), np.int32)).shape == (0, 3, 2)


def pairs_by_loop(vectors):
    return sum((a @ b for a, b in combinations(vectors, 2)), 0.0)


def test_pairwise_interactions_equal_the_double_loop():
    layer = PairwiseInteractions()
    expected = [pairs_by_loop(vectors.astype(np.float64)) for vectors in VECTORS]
    np.testing.assert_allclose(numpy(layer(VECTORS))[:, 0], expected, atol=1e-5)
    masked = [pairs_by_loop([v.astype(np.float64) for v in present(row)]) for row in range(5)]
    np.testing.assert_allclose(numpy(layer(VECTORS, IDS))[:, 0], masked, atol=1e-5)


def test_pairwise_interactions_reach_1e_10_in_float64():
    vectors = RNG.normal(size=(7, 12, 9))
    out = numpy(PairwiseInteractions(dtype="float64")(vectors))[:, 0]
    np.testing.assert_allclose(out, [pairs_by_loop(v) for v in vectors], rtol=0, atol=1e-10)


def test_a_single_field_has_no_pairs():
    np.testing.assert_allclose(numpy(PairwiseInteractions()(VECTORS[:, :1])), 0, atol=1e-6)


def test_batch_l2_penalises_the_looked_up_vectors_in_training_only():
    layer = BatchL2(0.5)
    np.testing.assert_array_equal(numpy(layer(VECTORS, IDS, training=True)), VECTORS)
    expected = 0.5 * sum(np.sum(np.square(present(row))) for row in range(5)) / 5
    assert len(layer.losses) == 1
    assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-5)
    for training in (False, None):
        quiet = BatchL2(0.5)
        quiet(VECTORS, IDS, training=training)
        assert quiet.losses == []


def test_batch_l2_moves_only_rows_of_the_table_that_the_batch_used():
    ids = keras.Input((2,), dtype="int32")
    table = keras.layers.Embedding(6, 3)
    penalised = BatchL2(1.0)(table(ids), ids)
    model = keras.Model(ids, keras.ops.sum(penalised, axis=(1, 2)) * 0.0)
    before = table.get_weights()[0]
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse", run_eagerly=True)
    batch = np.array([[1, 3], [3, 0]], np.int32)
    model.train_on_batch(batch, np.zeros(2, np.float32))
    after = table.get_weights()[0]
    # gradient of 1.0 · (|v1|² + 2 |v3|²) / 2 rows; row 0 is padding
    times_used = np.array([0, 1, 0, 2, 0, 0])[:, None]
    np.testing.assert_allclose(after, before * (1 - 0.1 * times_used), rtol=1e-5, atol=1e-7)


def test_offset_starts_at_its_argument_and_learns():
    layer = Offset(3.5)
    x = np.array([[1.0], [-2.0]], np.float32)
    np.testing.assert_allclose(numpy(layer(x)), x + 3.5)
    assert [w.shape for w in layer.trainable_weights] == [()]
    layer.set_weights([np.float32(1.0)])
    np.testing.assert_allclose(numpy(layer(x)), x + 1.0)


@pytest.mark.parametrize(
    ("layer", "key", "value"),
    [
        (PoolValues("sum"), "pooling", "sum"),
        (PairwiseInteractions(name="pairs"), "name", "pairs"),
        (Offset(3.5), "start", 3.5),
        (OneHotEmbedding(4, 5, pooling="mean"), "pooling", "mean"),
        (Embedding(4, 5, pooling="sum"), "pooling", "sum"),
        (KnownEmbedding(6, 3, 2), "known", 3),
        (BatchL2(0.25), "l2", 0.25),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_survive_serialisation_by_their_registered_name(layer, key, value):
    config = keras.saving.serialize_keras_object(layer)
    assert config["registered_name"].startswith("deepfm_helpers>")
    again = keras.saving.deserialize_keras_object(config, safe_mode=True)
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    assert again.get_config()[key] == value


def test_layers_keep_half_precision():
    half = VECTORS.astype(np.float16)
    out = PoolValues("mean", dtype="float16")(half, IDS)
    assert keras.backend.standardize_dtype(out.dtype) == "float16"

"""The module that knows a model's layers by name: what it finds, and that no other module knows them."""

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

from deepfm_helpers import anatomy, evaluation, models
from deepfm_helpers._keras import keras
from deepfm_helpers.features import Feature

ROOT = Path(__file__).resolve().parents[1]
FIELDS = [
    Feature("hours", "numeric", "hours"),
    Feature("uid", "single", "uid", 200),
    Feature("mid", "single", "mid", 4),
    Feature("genre", "multi", "movie_genre", 6, slots=3, pooling="multi_hot"),
    Feature("rated", "known", "uid", 5, table=np.arange(18.0).reshape(6, 3)),
    Feature("stretch", "single", "timestamp", 3, wide=True),
]
X = [
    np.array([[0.5], [-1.0]], np.float32),
    np.array([[1], [200]], np.int32),
    np.array([[4], [1]], np.int32),
    np.array([[1, 2, 0], [6, 0, 0]], np.int32),
    np.array([[5], [2]], np.int32),
    np.array([[3], [0]], np.int32),
]


def build(**options):
    return models.deep_fm_model(features=FIELDS, k=2, dnn_dim=(4, 3), embedding_spread=0.5, **options)[-1]


def outputs(model, tensors) -> list[np.ndarray]:
    return evaluation._outputs(keras.Model(model.inputs, tensors), X)


def test_the_names_of_the_layers_are_those_of_stored_weights_and_summaries():
    names = {layer.name for layer in build(l2=0.1).layers}
    assert {name for name in names if not name.startswith(("dropout", "input_"))} == {
        *(f"{kind}_{order}" for order in ("1d_hours", "2d_hours") for kind in ("num_dense", "row")),
        *(f"cat_embed_1d_{name}" for name in ("uid", "mid", "genre", "stretch")),
        *(f"cat_embed_2d_{name}" for name in ("uid", "mid", "genre")),
        *(f"l2_1d_{name}" for name in ("uid", "mid", "genre", "stretch")),
        *(f"l2_2d_{name}" for name in ("uid", "mid", "genre")),
        *("known_embed_1d_rated", "known_embed_2d_rated", "pool_1d_genre", "pool_2d_genre"),
        *(f"flat_1d_{f.name}" for f in FIELDS),
        *("concat_embed_2d", "pairs_between_fields", "pairs_within_genre", "flat_embed_2d"),
        *("deep_1", "deep_2", "deep_output", "fm_1d_output", "fm_2d_output", "sum_of_parts", "deepfm_output"),
    }


@pytest.mark.parametrize("ask", [lambda f: f, lambda f: f.name], ids=["field", "name"])
def test_tables_hold_a_row_for_each_id_a_slope_or_a_matrix(ask):
    shapes = {
        f.name: [layer and layer.get_weights()[0].shape for layer in anatomy.tables(build(), ask(f))]
        for f in FIELDS
    }
    assert shapes == {
        "hours": [(1, 1), (1, 2)],
        "uid": [(201, 1), (201, 2)],
        "mid": [(5, 1), (5, 2)],
        "genre": [(7, 1), (7, 2)],
        "rated": [(3, 1), (3, 2)],
        "stretch": [(4, 1), None],
    }


def test_a_field_that_the_model_lacks_is_named_with_those_it_has():
    for ask in (anatomy.tables, anatomy.terms):
        with pytest.raises(ValueError, match="no field flim; its inputs are input_hours, input_uid"):
            ask(build(), "flim")
    assert anatomy.tables(build(parts=("second_order",)), "stretch") == (None, None)
    assert [f"input_{f.name}" for f in FIELDS] == [f.input_name for f in FIELDS]


@pytest.mark.parametrize("options", [{}, {"l2": 0.1}])
def test_the_terms_of_all_fields_make_the_first_and_the_second_order(options):
    model = build(**options)
    terms = [anatomy.terms(model, f) for f in FIELDS]
    first, second, _ = (v[:, 0] for v in outputs(model, list(anatomy.parts(model).values())))
    weights = outputs(model, [t.weight for t in terms])
    # sums that may cancel, so they are compared on the scale of what is added
    assert (
        np.abs(np.sum(weights, axis=0)[:, 0] - first) <= 1e-6 * np.sum(np.abs(weights), axis=0)[:, 0]
    ).all()
    v = np.concatenate(outputs(model, [t.vector for t in terms if t.vector is not None]), axis=1)
    assert v.shape == (2, 5, 2)
    within = outputs(model, [t.within for t in terms if t.within is not None])
    assert len(within) == 1
    pairs = np.einsum("nik,njk->nij", v, v)[:, *np.triu_indices(5, 1)].sum(axis=1)
    scale = np.einsum("nik,njk->n", np.abs(v), np.abs(v))
    assert (np.abs(pairs + within[0][:, 0] - second) <= 1e-6 * scale).all()


def test_the_network_ends_in_its_output_and_is_empty_without_a_deep_part():
    assert [layer.units for layer in anatomy.network(build())] == [4, 3, 1]
    assert anatomy.network(build(parts=("first_order",))) == []
    linear = models.deep_fm_model(features=FIELDS, k=2, dnn_dim=())[-1]
    assert [layer.units for layer in anatomy.network(linear)] == [1]


@pytest.mark.parametrize("head", ["sum", "dense"])
@pytest.mark.parametrize("use", [models.PARTS, ("second_order", "deep"), ("deep",)])
def test_the_head_makes_the_score_of_the_parts(head, use):
    model = build(head=head, parts=use, mean_rating=3.25)
    found = anatomy.head(model)
    assert tuple(found.weights) == tuple(anatomy.parts(model)) == use
    assert found.constant == 3.25
    parts = outputs(model, list(anatomy.parts(model).values()))
    score = sum(w * part for w, part in zip(found.weights.values(), parts, strict=True)) + found.constant
    np.testing.assert_allclose(score[:, 0], evaluation.predict(model, X), rtol=1e-5)
    assert found.layer.output is model.outputs[0]


def test_a_part_of_a_model_has_no_head():
    first, *_ = models.deep_fm_model(features=FIELDS)
    with pytest.raises(ValueError, match="not a whole model of deepfm_helpers.models"):
        anatomy.head(first)
    with pytest.raises(ValueError, match="not a whole model"):
        evaluation.parts(first, X)


STEMS = (
    r"(?:cat_embed|num_dense|known_embed|row|l2|pool|flat|embed)_[12]d",
    r"(?:concat|flat)_embed_2d|pairs_(?:within|between)_",
    r"fm_[12]d_output|sum_of_parts|deep_output|deepfm_output",
    r"""deep_(?=["'{\d])""",
)
LITERAL = re.compile(rf"""["'](?:{"|".join(STEMS)})""")
NAMED_ON_PURPOSE = {"tests/reference.py", "tests/test_models.py", "tests/test_anatomy.py"}


def sources() -> dict[str, str]:
    """The code of the repository by file: modules, benchmarks, tests, and the code cells of the chapters."""
    found = {}
    for folder in ("deepfm_helpers", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            found[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, 4).cells
        found[path.name] = "\n".join(c.source for c in cells if c.cell_type == "code")
    return found


def test_no_other_code_knows_a_layer_by_name():
    for name in (
        "cat_embed_2d_uid",
        "deep_1",
        "deep_{i}",
        "deep_",
        "deep_output",
        "deepfm_output",
        "flat_1d_",
    ):
        assert LITERAL.search(f'get_layer("{name}")'), name
    code = sources()
    assert LITERAL.search(code["deepfm_helpers/anatomy.py"])
    assert len(code) > 50
    said = {
        file: sorted(set(LITERAL.findall(text)))
        for file, text in code.items()
        if file not in NAMED_ON_PURPOSE | {"deepfm_helpers/anatomy.py"} and LITERAL.search(text)
    }
    assert said == {}

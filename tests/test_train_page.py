"""The planted ratings of the page "Train it in the page": what they are drawn from, and what the page stores."""

import json
import re
from itertools import combinations

import numpy as np
import pytest

from deepfm_helpers.press import train
from deepfm_helpers.press.checkout import HERE

FOLDER = (HERE.root / train.PLACE).parent
SIZES = np.array([len(values) for values in train.FIELDS.values()])
BEGINS = np.array([0, *np.cumsum(SIZES)[:-1]])


@pytest.fixture(scope="module")
def drawn() -> dict:
    return train.draw()


def read(path) -> dict:
    """What the script file of the page assigns."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"window.{train.NAME} = {{")
    return json.loads(text.partition(" = ")[2].rstrip().removesuffix(";"))


def test_the_ratings_are_the_scores_of_the_machine_and_noise(drawn):
    truth = drawn["truth"]
    w, V = np.array(truth["w"]), np.array(truth["V"])
    at = np.array(drawn["rows"]) + BEGINS[:, None]
    first = w[at].sum(axis=0)
    second = sum((V[at[a]] * V[at[b]]).sum(axis=1) for a, b in combinations(range(3), 2))
    noise = np.array(drawn["stars"]) - truth["w0"] - first - second
    assert first.std() == pytest.approx(train.FIRST_ORDER_SD, abs=0.01)
    assert second.std() == pytest.approx(train.SECOND_ORDER_SD, abs=0.01)
    assert noise.std() == pytest.approx(train.NOISE, rel=0.05)
    assert abs(noise.mean()) < 3 * train.NOISE / np.sqrt(noise.size)
    for part in (first, second):
        assert abs(np.corrcoef(part, noise)[0, 1]) < 0.1


def test_the_fields_share_nothing_that_a_weight_could_say(drawn):
    V = np.array(drawn["truth"]["V"])
    for begin, size in zip(BEGINS, SIZES, strict=True):
        np.testing.assert_allclose(V[begin : begin + size].mean(axis=0), 0, atol=0.001)


def test_no_combination_is_rated_twice_and_the_rows_held_out_are_not_trained_on(drawn):
    rows = list(zip(*drawn["rows"], strict=True))
    assert len(set(rows)) == len(rows) == train.TRAIN + train.HELD_OUT == len(drawn["stars"])
    assert drawn["train"] == train.TRAIN


def test_every_value_has_rows_to_learn_from(drawn):
    for column, size in zip(drawn["rows"], SIZES, strict=True):
        assert np.bincount(column[: train.TRAIN], minlength=size).min() >= 10


def test_another_seed_draws_other_ratings(drawn):
    assert train.draw() == drawn
    assert train.draw(seed=8)["stars"] != drawn["stars"]


def test_the_page_stores_the_ratings_of_today(drawn):
    stored = read(HERE.root / train.PLACE)
    again = "run `python -m deepfm_helpers.press train`"
    assert stored.keys() == drawn.keys(), again
    for name in ("fields", "noise", "train", "rows"):
        assert stored[name] == drawn[name], again
    np.testing.assert_allclose(stored["stars"], drawn["stars"], atol=0.011, err_msg=again)
    for name, values in drawn["truth"].items():
        np.testing.assert_allclose(stored["truth"][name], values, atol=0.0011, err_msg=again)


def test_the_page_weighs_at_most_60_kb_with_its_data_and_its_figure():
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert {"data.js", "fm.js", "page.js", "train.css", "planted.svg"} == set(sizes)
    assert sum(sizes.values()) <= 60_000, sizes


def test_the_figure_shows_every_vector(drawn, tmp_path):
    train.figure(drawn, tmp_path / "planted.svg")
    svg = (tmp_path / "planted.svg").read_text()
    assert svg.count("<use ") >= SIZES.sum()
    assert "<dc:date>" not in svg
    assert all(name in svg for name in train.FIELDS["time"])


def test_the_prose_tells_the_sizes_of_the_set():
    text = " ".join((HERE.root / "book" / "train.md").read_text(encoding="utf-8").split())
    assert f"on the {train.TRAIN} rows that the model learns from" in text
    assert f"error on {train.HELD_OUT} rows held out" in text
    assert f"noise of the ratings, {train.NOISE} stars" in text
    assert "thirty users, twenty films and four times of day" in text
    assert SIZES.tolist() == [30, 20, 4]
    assert "vector of two numbers" in text
    assert train.K == 2
    settings = (FOLDER / "fm.js").read_text() + (FOLDER / "page.js").read_text()
    batch = int(re.search(r"batch: size = (\d+)", settings)[1])
    epochs = int(re.search(r"const LAST = (\d+); // epochs", settings)[1])
    assert f"a single batch of {batch} rows. Twelve batches are an {{term}}`epoch`" in text
    assert train.TRAIN / batch == 12
    assert re.findall(r"(\d+) epochs", text) == [str(epochs)] * 2

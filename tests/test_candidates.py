"""The top of a list from a few candidates: the rules of a list, and how many of the best films are found."""

import sys
from pathlib import Path

import numpy as np
import pytest

from deepfm_helpers import anatomy, candidates, datasets, features, models, recommending, training


@pytest.fixture(scope="module")
def data():
    return datasets.load("planted", n_users=60, n_movies=80, n_ratings=900, seed=4)


def cut(data, deep=1.0, **options):
    """A model without training, whose network counts `deep` times, and its two sides."""
    training.set_seed(2)
    fields = features.describe(data)
    made = {"k": 3, "dnn_dim": (6, 5), "embedding_spread": 0.5, "mean_rating": 3.5} | options
    model = models.deep_fm_model(features=fields, **made)[-1]
    for layer in anatomy.network(model)[-1:]:
        layer.set_weights([np.float32(deep) * weight for weight in layer.get_weights()])
    ratings = data.ratings[data.ratings.mid % 7 > 0]  # some films have no training row
    return model, recommending.TwoSides(model, data, fields, ratings, data.ratings)


@pytest.mark.parametrize(
    "parts", [models.PARTS, ("first_order", "second_order"), ("first_order",), ("deep",)]
)
def test_if_all_films_are_candidates_the_list_is_the_exact_one(data, parts):
    model, sides = cut(data, parts=parts)
    users = sides.users.uid.to_numpy()
    index = candidates.Index(model, sides)
    for m in (80, 500):
        assert index.top(users, 10, m).tolist() == sides.top(users, 10).tolist()
    assert (sides.top(users, 80) == -1).any()
    assert index.top(users, 80, 80).tolist() == sides.top(users, 80).tolist()  # ends where films run out


def test_without_a_network_the_first_films_are_found_by_the_product_alone(data):
    model, sides = cut(data, parts=("first_order", "second_order"))
    users = sides.users.uid.to_numpy()
    assert candidates.Index(model, sides).top(users, 5, 5).tolist() == sides.top(users, 5).tolist()


def test_more_candidates_hold_more_of_the_films_that_a_strong_network_lifts(data):
    model, sides = cut(data, deep=20.0, dnn_dim=(16, 8))
    users = sides.users.uid.to_numpy()
    exact, index = sides.top(users, 10), candidates.Index(model, sides)
    found = [candidates.recall(index.top(users, 10, m), exact) for m in (10, 20, 80)]
    assert found[0] + 0.1 < found[1] < found[2] == 1


@pytest.mark.parametrize("layers", [(), (7,), (600, 500)])  # the last one in tiles of one film
def test_networks_of_other_depths_and_widths_rank_candidates_too(data, layers):
    model, sides = cut(data, deep=20.0, dnn_dim=layers)
    users = sides.users.uid.to_numpy()[:7]
    assert candidates.Index(model, sides).top(users, 10, 75).tolist() == sides.top(users, 10).tolist()


def test_candidates_are_the_films_with_the_highest_scores_without_the_network(data):
    model, sides = cut(data)
    users = sides.users.uid.to_numpy()[:9]
    index = candidates.Index(model, sides)
    parts = sides.parts(users)
    scores = parts["first_order"] + parts["second_order"]
    for row, line in zip(
        index.candidates(users, 7), sides.best(scores, [sides.seen[u] for u in range(9)], 7), strict=True
    ):
        assert sorted(index.films[row]) == sorted(line)


def test_recall_counts_the_films_that_are_on_both_lists_whatever_their_place():
    exact = np.array([[1, 2, 3], [4, -1, -1]])
    assert candidates.recall(np.array([[3, 9, 1], [5, -1, -1]]), exact) == 0.5
    assert candidates.recall(exact, exact) == 1.0


def test_impossible_lists_are_refused(data):
    model, sides = cut(data)
    index = candidates.Index(model, sides)
    for n, m in ((0, 10), (11, 10)):
        with pytest.raises(ValueError, match=f"n = {n}, m = {m}"):
            index.top([1], n, m)
    with pytest.raises(ValueError, match="uid 999"):
        index.top([999])
    assert index.top([], 3).shape == (0, 3)


def test_the_benchmark_compares_every_number_of_candidates_with_the_exact_lists(data, monkeypatch):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from benchmarks import candidates as benchmark

    monkeypatch.setattr(benchmark, "MOST", (10, 80))
    monkeypatch.setattr(benchmark, "SINGLE", 2)
    model, sides = cut(data, deep=20.0, dnn_dim=(16, 8))
    found = benchmark.measure(model, sides, rounds=2, seed=1)
    assert list(found) == ["exact", "10 candidates", "80 candidates"]
    assert found["exact"]["recall"] == found["80 candidates"]["recall"] == [1.0, 1.0]
    assert found["10 candidates"]["recall"][0] == found["10 candidates"]["recall"][1] < 0.9
    assert all(len(of[metric]) == 2 for of in found.values() for metric in ("seconds_batch", "seconds_one"))

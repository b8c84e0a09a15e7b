"""The top of a list from a few candidates: the rules of a list, and how many of the best films are found."""

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


def test_what_a_network_adds_to_a_film_on_average_finds_more_of_the_best_films(data):
    model, sides = cut(data, deep=20.0, dnn_dim=(16, 8))
    users = sides.users.uid.to_numpy()
    exact = sides.top(users, 10)
    found = [
        candidates.recall(candidates.Index(model, sides, sample).top(users, 10, 12), exact)
        for sample in (0, 60)
    ]
    assert found[0] + 0.1 < found[1] < 1


def test_candidates_are_the_films_with_the_highest_scores_without_the_network(data):
    model, sides = cut(data)
    users = sides.users.uid.to_numpy()[:9]
    index = candidates.Index(model, sides, sample=0)
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

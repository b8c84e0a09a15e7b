"""Lists of films: the two sides against the model itself, the rules of a list, newcomers, and the metrics."""

import numpy as np
import pandas as pd
import pytest

from deepfm_helpers import anatomy, datasets, evaluation, features, models, ranking, recommending

SPREAD = {"embedding_spread": 0.5, "mean_rating": 3.5}


@pytest.fixture(scope="module")
def data():
    return datasets.load("planted", n_users=40, n_movies=30, n_ratings=300, seed=4)


def build(data, fields=None, **options):
    fields = features.describe(data) if fields is None else fields
    return fields, models.deep_fm_model(features=fields, **({"k": 3, "dnn_dim": (6, 5)} | SPREAD | options))[
        -1
    ]


def all_pairs(data):
    pairs = data.users[["uid"]].merge(data.movies[["mid"]], how="cross").assign(rating=3.0)
    return datasets.join(pairs, data.movies, data.users)


@pytest.mark.parametrize(
    ("describe", "build_options"),
    [
        ({}, {}),
        ({"pooling": "multi_hot"}, {"dnn_dim": (7,)}),
        ({"pooling": "sum"}, {"dnn_dim": ()}),
        ({"fields": ("mid", "uid")}, {"dnn_dim": (6, 5, 4)}),
        ({"fields": ("genre", "age", "mid")}, {"parts": ("first_order", "deep")}),
        ({"pooling": "multi_hot"}, {"parts": ("second_order",)}),
        ({}, {"parts": ("first_order",)}),
        (models.AS_PUBLISHED["describe"], models.AS_PUBLISHED["model"] | {"k": 3}),
    ],
)
def test_the_sum_of_two_sides_is_the_prediction_for_all_pairs(data, describe, build_options):
    fields, model = build(data, features.describe(data, **describe), **build_options)
    rows = all_pairs(data)  # everybody has rows, so nobody gets the mean of the others
    sides = recommending.TwoSides(model, data, fields, rows)
    x, _ = features.df2xy(rows, fields)
    uids = data.users.uid.to_numpy()
    expected = evaluation.predict(model, x).reshape(len(uids), -1)
    np.testing.assert_allclose(sides.scores(uids), expected, atol=1e-4)
    parts, by_row = sides.parts(uids), evaluation.parts(model, x)
    assert [*parts, "bias"] == list(by_row)
    for name, values in parts.items():
        np.testing.assert_allclose(values.ravel(), by_row[name], atol=1e-4)


def test_an_fm_can_be_cut_too(data):
    fields = features.describe(data, ("uid", "mid"))
    for k in (0, 3):
        model = models.fm_model(fields, k, **SPREAD)
        rows = all_pairs(data)  # everybody has rows, so nobody gets the mean of the others
        sides = recommending.TwoSides(model, data, fields, rows)
        expected = evaluation.predict(model, features.df2xy(rows, fields)[0])
        np.testing.assert_allclose(sides.scores(data.users.uid).ravel(), expected, atol=1e-5)


def test_a_model_that_cannot_be_cut_is_refused(data):
    fields = features.describe(data, ("uid", "mid"))
    _, model = build(data, fields)
    crossed = (*fields, features.cross(*fields))
    with pytest.raises(ValueError, match="uid_x_mid belongs to the single rating"):
        recommending.TwoSides(model, data, crossed)
    moment = features.Feature("day", "numeric", "timestamp")
    with pytest.raises(ValueError, match="day belongs to the single rating"):
        recommending.TwoSides(model, data, (*fields, moment))
    with pytest.raises(ValueError, match="the model's inputs are input_uid, input_mid"):
        recommending.TwoSides(model, data)
    other = datasets.load("planted", n_users=41, n_movies=30, n_ratings=300, seed=4)
    with pytest.raises(ValueError, match="field uid: the model knows 40 values"):
        recommending.TwoSides(model, other, features.describe(other, ("uid", "mid")))


def test_best_orders_ties_by_position_and_ends_in_minus_one():
    scores = np.array([[1.0, 3.0, 3.0, 3.0, 2.0], [-np.inf, 5.0, -np.inf, -np.inf, -np.inf]])
    assert ranking.best(scores, 2).tolist() == [[1, 2], [1, -1]]
    assert ranking.best(scores, 7).tolist() == [[1, 2, 3, 4, 0, -1, -1], [1, -1, -1, -1, -1, -1, -1]]
    assert ranking.best(np.zeros((1, 50)), 5).tolist() == [[0, 1, 2, 3, 4]]


def test_a_list_equals_sorting_all_unseen_films(data):
    fields, model = build(data)
    rows = datasets.join(data.ratings, data.movies, data.users).sample(200, random_state=1)
    sides = recommending.TwoSides(model, data, fields, rows)
    uids = sides.users.uid.to_numpy()
    scores, lists = sides.scores(uids), sides.top(uids, 8)
    warm = set(rows.mid)
    for uid, line, found in zip(uids, scores, lists, strict=True):
        left = warm - set(rows.mid[rows.uid == uid])
        ranked = sorted(left, key=lambda mid: (-line[sides.films.mid.searchsorted(mid)], mid))
        assert sides.films.mid[found[found >= 0]].tolist() == ranked[:8]


def test_popularity_goes_by_the_same_rules(data):
    fields, model = build(data)
    sides = recommending.TwoSides(model, data, fields)
    uid = int(sides.users.uid[0])
    counts = data.ratings.mid.value_counts()
    seen = set(data.ratings.mid[data.ratings.uid == uid])
    ranked = sorted(set(counts.index) - seen, key=lambda mid: (-counts[mid], mid))
    assert sides.films.mid[sides.top([uid], 5, scores=sides.counts)[0]].tolist() == ranked[:5]


def test_recommend_returns_titles_and_the_parts_of_each_score(data):
    fields, model = build(data)
    table = recommending.recommend(model, 3, 5, data=data)
    assert list(table) == [
        "mid", "title", "score", "first_order", "second_order", "deep", "bias", "ratings",
    ]  # fmt: skip
    parts = table[["first_order", "second_order", "deep", "bias"]].sum(axis=1)
    np.testing.assert_allclose(parts, table.score, atol=1e-5)
    assert table.score.is_monotonic_decreasing
    assert table.index.tolist() == [1, 2, 3, 4, 5]
    assert not set(table.mid) & set(data.ratings.mid[data.ratings.uid == 3])
    assert (table.ratings > 0).all()
    everything = recommending.recommend(model, 3, 1000, data=data)
    assert len(everything) == data.ratings.mid.nunique() - (data.ratings.uid == 3).sum()


def test_cold_films_come_only_when_asked_for(data):
    fields, model = build(data)
    rows = data.ratings[data.ratings.mid != 7]
    sides = recommending.TwoSides(model, data, fields, rows)
    assert 7 not in recommending.recommend(sides, 3, 1000).mid.tolist()
    table = recommending.recommend(sides, 3, 1000, min_ratings=0).set_index("mid")
    assert table.ratings[7] == 0


@pytest.mark.parametrize("asked", [41, 0, -1])
def test_an_unknown_uid_is_refused(data, asked):
    fields, model = build(data)
    with pytest.raises(
        ValueError, match=f"uid {asked} is not among the 40 of the data; describe someone new"
    ):
        recommending.recommend(model, asked, data=data)


def test_wrong_descriptions_are_refused_with_what_is_known(data):
    fields, model = build(data)
    sides = recommending.TwoSides(model, data, fields)
    with pytest.raises(ValueError, match="gender = 'X' is unknown; choose from F, M"):
        recommending.recommend(sides, {"gender": "X"})
    with pytest.raises(ValueError, match="no field for height; it knows"):
        recommending.recommend(sides, {"height": 180})
    with pytest.raises(ValueError, match="no film is called 'Nowhere'"):
        recommending.recommend(sides, {"likes": ["Nowhere"]})
    with pytest.raises(ValueError, match="movie_genre = 'opera' is unknown"):
        sides.new_film({"movie_genre": "Drama|Opera"})
    with pytest.raises(ValueError, match="n = 0"):
        recommending.recommend(sides, 3, 0)


def test_someone_new_is_the_average_user_with_their_own_description(data):
    """The same score comes out of the model itself when uid 0 and all occupations are the mean row."""
    fields, model = build(data)
    sides = recommending.TwoSides(model, data, fields)
    rows = datasets.join(data.ratings, data.movies, data.users)
    for field in ("uid", "occupation"):
        ids = features.describe(data, (field,))[0].encode(rows)[:, 0]
        for layer in anatomy.tables(model, field):
            table = layer.get_weights()[0]
            table[:] = table[ids].mean(axis=0)
            layer.set_weights([table])
    warm = data.movies[data.movies.mid.isin(data.ratings.mid)]
    rows = warm.assign(uid=0, gender="F", age=25, occupation=0, rating=3.0)
    expected = evaluation.predict(model, features.df2xy(rows, fields)[0])
    found = sides.scores(sides.new_user({"gender": "F", "age": 25}))[0]
    places = pd.Index(sides.films.mid).get_indexer(warm.mid)
    np.testing.assert_allclose(found[places], expected, atol=1e-4)


def test_likes_pull_towards_the_users_who_score_them_high(data):
    fields, model = build(data)
    sides = recommending.TwoSides(model, data, fields)
    likes = [1, 2, 3]
    before = sides.scores(sides.new_user({"gender": "F"}))[0][:3]
    after = sides.scores(sides.new_user({"gender": "F"}, likes, noise=0.5))[0][:3]
    assert np.square(5 - after).sum() < np.square(5 - before).sum()
    table = recommending.recommend(sides, {"gender": "F", "likes": likes}, 1000)
    assert not set(likes) & set(table.mid)
    by_title = recommending.recommend(sides, {"gender": "F", "likes": data.movies.movie_name[:3].tolist()}, 5)
    pd.testing.assert_frame_equal(by_title, table.head(5))


def test_a_new_film_is_the_average_film_with_its_genres(data):
    fields, model = build(data)
    genre = data.movies.movie_genre[0]
    rows = data.ratings[data.ratings.mid != data.movies.mid[0]]
    sides = recommending.TwoSides(model, data, fields, rows)
    uids = rows.uid.unique()
    by_genre = sides.parts(uids, sides.new_film({"movie_genre": genre}))
    for name, values in sides.parts(uids).items():
        np.testing.assert_allclose(by_genre[name][:, 0], values[:, 0], atol=1e-5)


def test_ranking_by_hand():
    relevant = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], bool)
    lists = np.array([[2, 0], [2, -1], [0, 1]])
    found = ranking.quality(lists, relevant)
    assert found.recall == pytest.approx((1 / 2 + 1) / 2)
    second = 1 / np.log2(3)
    assert found.ndcg == pytest.approx((second / (1 + second) + 1) / 2)
    assert found.coverage == pytest.approx(3 / 4)
    with pytest.raises(ValueError, match="no user has a relevant film"):
        ranking.quality(lists, np.zeros_like(relevant))


def test_liked_is_a_table_of_users_and_films():
    rows = pd.DataFrame({"uid": [1, 1, 2, 9], "mid": [5, 6, 5, 5], "rating": [4, 3, 5, 5]})
    assert ranking.liked(rows, [1, 2], [5, 6]).tolist() == [[True, False], [True, False]]


def test_drawn_films_are_not_the_liked_ones(data):
    joined = datasets.join(data.ratings, data.movies, data.users)
    rows = ranking.liked_or_drawn(joined, 3, seed=1)
    likes = joined[joined.rating >= 4]
    assert rows.rating.sum() == len(likes)
    assert set(rows.rating) == {0, 1}
    wrong = rows[rows.rating == 0].merge(likes, on=["uid", "mid"])
    assert wrong.empty
    again = rows.drop(columns=["movie_name", "movie_genre"]).merge(data.movies, on="mid", how="left")
    assert again.movie_genre.tolist() == rows.movie_genre.tolist()
    pd.testing.assert_frame_equal(rows, ranking.liked_or_drawn(joined, 3, seed=1))

"""Lists of films: the two sides against the model itself, the rules of a list, and newcomers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from deepfm_helpers import anatomy, datasets, evaluation, features, history, models, recommending

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


def side_fields(data):
    """Fields of every kind that belong to one side alone, the film's among those of the user."""
    uid, mid, gender, age, genre, year = features.describe(
        data, ("uid", "mid", "gender", "age", "genre", "year")
    )
    rng = np.random.default_rng(0)
    rated, raters = (
        features.Feature(
            name,
            "known",
            f.column,
            f.size,
            owner=f.owner,
            table=rng.normal(size=(f.size + 1, 4)).astype("f4"),
        )
        for name, f in (("rated", uid), ("raters", mid))
    )
    wide = replace(features.cross(age, gender), wide=True, name="wide")
    return [genre, uid, raters, features.cross(gender, age), mid, wide, rated, year, gender, age]


@pytest.mark.parametrize("options", [{}, {"parts": ("second_order",)}, {"parts": ("first_order", "deep")}])
def test_known_crossed_and_wide_fields_of_one_side_are_cut_too(data, options):
    rows = all_pairs(data)
    fields, model = build(data, side_fields(data), **options)
    uids = np.sort(data.users.uid)
    expected = evaluation.predict(model, [f.encode(rows) for f in fields])
    expected = pd.Series(expected).groupby([rows.uid.to_numpy(), rows.mid.to_numpy()]).first().unstack()
    for order in (fields, fields[::-1]):  # the order of the model counts, not that of the argument
        sides = recommending.TwoSides(model, data, order, rows)
        np.testing.assert_allclose(sides.scores(uids), expected, atol=1e-4)


def test_wide_and_deep_is_cut_when_its_crosses_belong_to_one_side(data):
    fields = features.describe(data)
    crosses = [features.cross(fields[2], fields[3])]
    model = models.wide_deep_model(fields, crosses, 3, (6, 5), **SPREAD)
    rows, fields = all_pairs(data), [*fields, *crosses]
    sides = recommending.TwoSides(model, data, fields, rows)
    expected = evaluation.predict(model, [f.encode(rows) for f in fields])
    np.testing.assert_allclose(sides.scores(data.users.uid).ravel(), expected, atol=1e-4)


def test_the_average_stands_in_for_every_part_of_a_field_that_is_not_described(data):
    """Also for the pairs within it, and for a second field of the same column."""
    joined = datasets.join(data.ratings, data.movies, data.users)
    known = history.describe(data, joined.assign(timestamp=range(len(joined))), components=5)
    fields = [*features.describe(data, pooling="multi_hot"), *known[2:]]
    fields, model = build(data, fields)
    sides = recommending.TwoSides(model, data, fields)
    user, film = sides.halves["user"], sides.halves["film"]
    for half, side in ((user, sides.new_user({})), (film, sides.new_film({}))):
        share = half.rows / half.rows.sum()
        for part in (0, 2):  # weights and vectors are linear in the fields
            np.testing.assert_allclose(
                side[part][0], np.tensordot(share, half.side[part], 1), rtol=1e-4, atol=1e-5
            )
    first = film.embedded.within[0].sum()
    assert film.average.within.sum() != pytest.approx(first)


def test_a_film_is_described_by_its_year_too(data):
    fields, model = build(data, features.describe(data, ("uid", "mid", "genre", "year")))
    sides = recommending.TwoSides(model, data, fields)
    old, new = (sides.new_film({"movie_name": f"A film ({year})"}) for year in (1995, 1999))
    assert np.abs(old.vector - new.vector).max() > 1e-3
    with pytest.raises(ValueError, match="movie_name = '1800s' is unknown; choose from"):
        sides.new_film({"movie_name": "A film (1803)"})
    with pytest.raises(ValueError, match="movie_name = 'A film' is unknown; choose from"):
        sides.new_film({"movie_name": "A film"})


def test_each_field_of_a_column_has_a_say_in_what_is_known(data):
    for names in (("uid", "mid", "user_fea3", "occupation"), ("uid", "mid", "occupation", "user_fea3")):
        fields, model = build(data, features.describe(data, names))
        sides = recommending.TwoSides(model, data, fields)
        with pytest.raises(ValueError, match="occupation = 99 is unknown"):
            sides.new_user({"occupation": 99})
        assert sides.new_user({"occupation": 4}).first.shape == (1,)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("1", "uid '1' is of type str, and a uid is a whole number"),
        (["1", "2"], "uid '1' is of type str"),
        (None, "uid None is of type NoneType"),
        (True, "uid True is of type bool"),
        ({"likes": "Toy Story (1995)"}, "likes = 'Toy Story .1995.' is one text: give a list"),
        ({"likes": [None]}, "mid None is of type NoneType"),
    ],
)
def test_an_id_of_another_type_is_what_the_message_is_about(data, asked, says):
    fields, model = build(data)
    sides = recommending.TwoSides(model, data, fields)
    with pytest.raises(TypeError, match=says):
        recommending.recommend(sides, asked)
    if not isinstance(asked, dict):
        for method in (sides.scores, sides.parts, sides.top):
            with pytest.raises(TypeError, match=says):
                method(asked)


def test_ids_that_are_no_whole_numbers_or_not_there_are_named(data):
    fields, model = build(data)
    sides = recommending.TwoSides(model, data, fields)
    with pytest.raises(ValueError, match="uid 3.7 is not among the 40"):
        recommending.recommend(sides, 3.7)
    with pytest.raises(ValueError, match="uid nan is not among the 40"):
        recommending.recommend(sides, np.nan)
    with pytest.raises(ValueError, match="no film is called '1'; a mid is a number, without quotes"):
        recommending.recommend(sides, {"likes": ["1"]})
    with pytest.raises(ValueError, match="mid 1000 is not among the 30"):
        recommending.TwoSides(model, data, fields, data.ratings.assign(mid=1000))
    with pytest.raises(ValueError, match="n = 0"):
        recommending.recommend(sides, {"gender": "F"}, 0)
    expected = recommending.recommend(sides, 3)
    for same in (np.float64(3), np.int8(3), 3.0):
        pd.testing.assert_frame_equal(recommending.recommend(sides, same), expected)


def test_without_training_rows_there_is_no_average(data):
    fields, model = build(data)
    with pytest.raises(ValueError, match="no training row"):
        recommending.TwoSides(model, data, fields, data.ratings.head(0))

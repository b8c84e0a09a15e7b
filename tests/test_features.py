"""Frames to model inputs: ids, descriptions, crosses and splits."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from deepfm_helpers import datasets
from deepfm_helpers.features import (
    FIELDS,
    Feature,
    cross,
    describe,
    df2xy,
    genre_index,
    post_features,
    split_rows,
    text2seq,
)

FILMS = ["Drama", "Comedy|Drama", "Action|Comedy|Drama|War", "War|Action", "", "Film-Noir|Children's"]


@pytest.fixture(scope="module")
def data():
    return datasets.load("planted", n_users=60, n_movies=50, n_ratings=900, seed=4)


@pytest.fixture(scope="module")
def joined(data):
    return datasets.join(data.ratings, data.movies, data.users)


@pytest.fixture(scope="module")
def legacy():
    """The Tokenizer and pad_sequences that the post used, where TensorFlow still carries them."""
    preprocessing = pytest.importorskip("tensorflow").keras.preprocessing
    if not hasattr(preprocessing, "text"):
        pytest.skip("this TensorFlow no longer carries the legacy Tokenizer")
    return preprocessing.text.Tokenizer, preprocessing.sequence.pad_sequences


def test_genres_are_numbered_by_frequency_then_first_appearance():
    assert genre_index(FILMS) == {
        "drama": 1, "comedy": 2, "action": 3, "war": 4, "film-noir": 5, "children's": 6
    }  # fmt: skip
    assert genre_index(FILMS, 3) == {"drama": 1, "comedy": 2}


def test_text2seq_by_hand():
    assert text2seq(FILMS).tolist() == [
        [1, 0, 0, 0], [2, 1, 0, 0], [3, 2, 1, 4], [4, 3, 0, 0], [0, 0, 0, 0], [5, 6, 0, 0]
    ]  # fmt: skip
    assert text2seq(FILMS, maxlen=2)[2].tolist() == [3, 2]
    assert text2seq(FILMS, maxlen=2, truncating="pre")[2].tolist() == [1, 4]
    assert text2seq(FILMS, n_genre=4)[2].tolist() == [3, 2, 1]
    assert text2seq([]).shape == (0, 1)
    with pytest.raises(ValueError, match="truncating 'left'"):
        text2seq(FILMS, truncating="left")


def test_text2seq_takes_films_and_not_letters():
    for wrong in (text2seq, genre_index):
        with pytest.raises(TypeError, match=r"one string, 'Comedy\|Drama'.*give a list of strings"):
            wrong("Comedy|Drama")
        with pytest.raises(TypeError, match="genres are text such as 'Comedy|Drama', not 7"):
            wrong(["Drama", 7])
    assert text2seq(["Comedy|Drama", None, np.nan, pd.NA]).tolist() == [[1, 2], [0, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("n_genre", [None, 1, 2, 5, 15, 40])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("maxlen", [1, 2, 3, None])
def test_text2seq_equals_the_legacy_tokenizer(data, legacy, n_genre, truncating, maxlen):
    tokenizer_class, pad_sequences = legacy
    for text in (FILMS, data.movies.movie_genre.tolist()):
        tokenizer = tokenizer_class(lower=True, split="|", filters="", num_words=n_genre)
        tokenizer.fit_on_texts(text)
        expected = pad_sequences(
            tokenizer.texts_to_sequences(text), maxlen=maxlen, padding="post", truncating=truncating
        )
        ours = text2seq(text, n_genre, maxlen, truncating)
        if expected.shape[1] == 0:  # no genre keeps an id
            assert not ours.any()
        else:
            np.testing.assert_array_equal(ours, expected)


def test_the_posts_printed_ids_come_out_on_ml_1m(real_data):
    folder = real_data("ml-1m")
    movies = datasets.load_movies(folder)
    ids = pd.Series(text2seq(movies.movie_genre, 15, 3, "pre").tolist(), index=movies.mid)
    assert ids[[1193, 661, 914, 3408, 2355]].tolist() == [
        [1, 0, 0], [9, 13, 0], [13, 5, 0], [1, 0, 0], [9, 2, 0]
    ]  # fmt: skip
    assert list(genre_index(movies.movie_genre, 15)) == [
        "drama", "comedy", "action", "thriller", "romance", "horror", "adventure", "sci-fi", "children's",
        "crime", "war", "documentary", "musical", "mystery",
    ]  # fmt: skip


def test_describe_reads_sizes_and_vocabularies_off_the_data(data):
    fields = {f.name: f for f in describe(data)}
    assert list(fields) == ["uid", "mid", "gender", "age", "occupation", "genre"]
    assert fields["uid"].size == data.users.uid.max()
    assert fields["mid"].size == data.movies.mid.max()
    assert fields["gender"].vocabulary == tuple(sorted(data.users.gender.unique()))
    assert fields["age"].size == data.users.age.nunique()
    assert fields["genre"].slots == data.movies.movie_genre.str.split("|").str.len().max()
    assert fields["genre"].size == data.movies.movie_genre.str.split("|").explode().nunique()
    assert fields["genre"].input_name == "input_genre"
    with pytest.raises(ValueError, match="unknown field zodiac; choose from"):
        describe(data, ("uid", "zodiac"))


def test_describe_takes_the_options_of_the_genre_field(data):
    (genre,) = describe(data, ("genre",), n_genre=4, slots=2, truncating="pre", pooling="sum")
    assert (genre.size, genre.slots, genre.truncating, genre.pooling) == (4, 2, "pre", "sum")
    (number,) = describe(data, ("user_fea3",))
    assert (number.kind, number.column, number.size) == ("numeric", "occupation", 0)


def test_df2xy_gives_one_array_per_field_in_order(data, joined):
    fields = describe(data, ("genre", "user_fea3", "uid", "age"))
    x, y = df2xy(joined, fields)
    assert [(a.shape, a.dtype) for a in x] == [
        ((len(joined), fields[0].slots), np.int32),
        ((len(joined), 1), np.float32),
        ((len(joined), 1), np.int32),
        ((len(joined), 1), np.int32),
    ]
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, joined.rating)
    np.testing.assert_array_equal(x[1][:, 0], joined.occupation)
    ages = fields[3].vocabulary
    assert [ages[i - 1] for i in x[3][:, 0]] == joined.age.tolist()
    genres = fields[0].vocabulary
    decoded = ["|".join(genres[i - 1] for i in row if i) for row in x[0]]
    assert decoded == joined.movie_genre.astype(str).str.lower().tolist()


def test_df2xy_without_features_takes_the_posts_frame(data, joined):
    ids = text2seq(data.movies.movie_genre, 15, 3, "pre").tolist()
    frame = joined.assign(movie_genre=joined.mid.map(dict(zip(data.movies.mid, ids, strict=True))))
    x, _ = df2xy(frame)
    assert [a.shape[1] for a in x] == [1, 1, 1, 3]
    np.testing.assert_array_equal(x[3], np.stack(frame.movie_genre))
    described = describe(data, ("user_fea3", "uid", "mid", "genre"), n_genre=14, slots=3, truncating="pre")
    for by_hand, by_description in zip(x, df2xy(joined, described)[0], strict=True):
        np.testing.assert_array_equal(by_hand, by_description)
    assert [f.name for f in post_features(1, 1, 1)] == ["user_fea3", "uid", "mid", "genre"]


def test_an_unknown_value_gets_id_0(joined):
    field = Feature("gender", "single", "gender", 1, vocabulary=("M",))
    assert set(field.encode(joined)[joined.gender == "F", 0]) == {0}
    assert set(field.encode(joined)[joined.gender == "M", 0]) == {1}


def test_encode_says_what_is_wrong(joined):
    with pytest.raises(KeyError, match="feature zip5: no column 'zip5'; the frame has uid, mid"):
        Feature("zip5", "single", "zip5", 3).encode(joined)
    with pytest.raises(ValueError, match=re.escape("feature uid: ids 1 to 60 do not fit 0 … 10")):
        Feature("uid", "single", "uid", 10).encode(joined.iloc[[0, -1]].assign(uid=[1, 60]))
    with pytest.raises(ValueError, match="feature uid: ids -1 to"):
        Feature("uid", "single", "uid", 10).encode(joined.iloc[:2].assign(uid=[-1, 3]))
    with pytest.raises(ValueError, match="kind 'many' is not one of numeric, single, multi, known"):
        Feature("uid", "many", "uid")
    with pytest.raises(ValueError, match="pooling 'max' is not one of mean"):
        Feature("genre", "multi", "movie_genre", pooling="max")


def test_an_empty_frame_encodes_to_empty_arrays(data, joined):
    x, y = df2xy(joined.iloc[:0], describe(data))
    assert [len(a) for a in x] == [0] * 6
    assert y.shape == (0,)


def test_cross_gives_each_pair_of_values_its_own_id(data, joined):
    gender, genre = describe(data, ("gender", "genre"))
    both = cross(gender, genre)
    assert (both.name, both.kind, both.slots) == ("gender_x_genre", "multi", genre.slots)
    assert both.size == gender.size * genre.size
    ids = both.encode(joined)
    left, right = gender.encode(joined), genre.encode(joined)
    seen = {}
    for row, g, values in zip(ids, left[:, 0], right, strict=True):
        for pair, value in zip(row, values, strict=True):
            assert (pair == 0) == (value == 0)
            if value:
                assert seen.setdefault(pair, (g, value)) == (g, value)
    assert len(set(seen.values())) == len(seen)
    assert 1 <= min(seen) <= max(seen) <= both.size


def test_every_pair_of_values_has_an_id_and_all_ids_are_in_use():
    pairs = pd.DataFrame([(a, b) for a in "FM" for b in (1, 18, 25)], columns=["gender", "age"])
    gender, age = (FIELDS[name].described(pairs) for name in pairs)
    assert cross(gender, age).encode(pairs)[:, 0].tolist() == [1, 2, 3, 4, 5, 6]


def test_cross_of_two_single_fields_is_single(data, joined):
    gender, age = describe(data, ("gender", "age"))
    both = cross(gender, age)
    assert (both.kind, both.slots) == ("single", 1)
    ids = pd.Series(both.encode(joined)[:, 0])
    of_pairs = ids.groupby([joined.gender.astype(str).to_numpy(), joined.age.to_numpy()])
    assert of_pairs.nunique().eq(1).all()
    assert ids.nunique() == of_pairs.ngroups <= both.size == gender.size * age.size
    unknown = cross(replace(gender, vocabulary=("M",), size=1), age).encode(joined)[:, 0]
    assert (unknown[(joined.gender == "F").to_numpy()] == 0).all()


def test_a_numeric_field_cannot_be_crossed(data):
    with pytest.raises(ValueError, match="cross of user_fea3 and uid: a numeric field"):
        cross(*describe(data, ("user_fea3", "uid")))


@pytest.mark.parametrize("by", ["random", "tail", "user", "time"])
@pytest.mark.parametrize("held", [0.1, 0.25, 0.5])
def test_a_split_is_disjoint_complete_and_in_file_order(joined, by, held):
    kept, out = split_rows(joined, held, seed=3, by=by)
    assert sorted([*kept.index, *out.index]) == joined.index.tolist()
    assert kept.index.is_monotonic_increasing
    assert out.index.is_monotonic_increasing
    if by == "user":
        assert not set(kept.uid) & set(out.uid)
        largest = joined.uid.value_counts().max()
        assert held * len(joined) <= len(out) < held * len(joined) + largest
    else:
        assert len(out) == round(held * len(joined))


def test_each_split_holds_out_what_its_name_says(joined):
    tail = split_rows(joined, 0.1, by="tail")[1]
    assert tail.index.tolist() == joined.index[-90:].tolist()
    kept, late = split_rows(joined, 0.1, by="time")
    assert kept.timestamp.max() <= late.timestamp.min()
    random = split_rows(joined, 0.1)[1]
    assert random.uid.nunique() > tail.uid.nunique()


@pytest.mark.parametrize("by", ["random", "user"])
def test_a_split_is_fixed_by_its_seed(joined, by):
    rows = [split_rows(joined, 0.2, seed=seed, by=by)[1].index.tolist() for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]


def test_a_rating_that_is_missing_names_its_row(data, joined):
    fields = describe(data, ("uid",))
    with pytest.raises(ValueError, match="targets: column 'rating', row 7: nan is no finite number"):
        df2xy(joined.assign(rating=joined.rating.where(joined.index != 7)), fields)
    with pytest.raises(TypeError, match="targets: column 'rating', row 0: '4' is of type str"):
        df2xy(joined.assign(rating="4"), fields)


def test_rows_without_a_user_stay_together(joined):
    rows = joined.assign(uid=joined.uid.where(joined.uid != 3))
    for seed in range(5):
        kept, out = split_rows(rows, 0.3, seed=seed, by="user")
        assert 0 in (kept.uid.isna().sum(), out.uid.isna().sum())
        assert not set(kept.uid.dropna()) & set(out.uid.dropna())


def test_a_split_names_the_column_that_it_needs():
    rows = pd.DataFrame({"rating": range(10)})
    for by, column in (("time", "timestamp"), ("user", "uid")):
        with pytest.raises(KeyError, match=f"split by {by}: no column '{column}'; the frame has rating"):
            split_rows(rows, 0.2, by=by)


def test_a_random_split_favours_no_row():
    frame = pd.DataFrame({"uid": np.arange(50)})
    counts = sum(
        np.isin(np.arange(50), split_rows(frame, 0.2, seed=seed)[1].index).astype(int) for seed in range(500)
    )
    assert counts.sum() == 500 * 10
    assert 60 <= counts.min() <= counts.max() <= 140  # 100 expected, standard deviation 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"held": 0}, "held = 0: choose a fraction between 0 and 1"),
        ({"held": 1.5}, "held = 1.5"),
        ({"by": "film"}, "by = 'film': choose random, tail, user or time"),
        ({"held": 0.0001}, "leaves an empty part"),
    ],
)
def test_a_split_says_what_is_wrong(joined, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        split_rows(joined, **options)


@pytest.mark.parametrize(
    ("kind", "table"), [("known", None), ("known", np.zeros((3, 2))), ("single", np.zeros((4, 2)))]
)
def test_a_known_field_and_no_other_has_a_table_of_its_ids(kind, table):
    with pytest.raises(ValueError, match="size \\+ 1 = 4 rows"):
        Feature("rated", kind, "uid", 3, table=table)

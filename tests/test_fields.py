"""What every kind of field must do: read missing values, come back from JSON, name values, owner and penalty."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from deepfm_helpers import anatomy, datasets, evaluation, features, history, models, recommending, saving
from deepfm_helpers import live as form
from deepfm_helpers.features import FIELDS, Feature, Year, cross, describe
from deepfm_helpers.press import live

MISSING = {"None": None, "NaN": np.nan, "pd.NA": pd.NA, "NaT": pd.NaT}


def make():
    data = datasets.load("planted", n_users=60, n_movies=50, n_ratings=900, seed=4)
    rows = datasets.join(data.ratings, data.movies, data.users)
    fields = {f.name: f for f in describe(data, FIELDS)}
    fields |= {f.name: f for f in history.describe(data, rows, components=4)}
    fields |= {f.name: f for f in history.stretches(rows, (8, 16))}
    for left, right in (("gender", "age"), ("mid", "year"), ("gender", "genre"), ("uid", "day")):
        both = cross(fields[left], fields[right])
        fields[both.name] = both
    nested = cross(fields["gender_x_genre"], fields["occupation"])
    return data, rows, fields | {nested.name: nested}


DATA, ROWS, ALL = make()
CATEGORICAL = [name for name, f in ALL.items() if f.kind != "numeric"]


def columns(field):
    """The columns in which a missing value leaves the field without a value."""
    if parts := getattr(field, "parts", ()):
        return sorted({column for part in parts for column in columns(part)})
    if isinstance(field, history.SinceFirst | history.Stretch):
        return ["uid"]
    return [] if isinstance(field, history.Day) else [field.column]


def test_every_class_of_fields_is_among_those_tested():
    # The fields of your own data have tests of their own, in test_own.py.
    known = {name for name, c in features._CLASSES.items() if ".own." not in c.__module__}
    assert {type(f).__name__ for f in ALL.values()} == known == {
        "Feature", "Year", "Cross", "Day", "SinceFirst", "Stretch"
    }  # fmt: skip
    assert {f.kind for f in ALL.values()} == set(features.KINDS)


# -- missing values


@pytest.mark.parametrize("missing", MISSING.values(), ids=MISSING)
@pytest.mark.parametrize("name", CATEGORICAL)
def test_a_missing_value_has_id_0_and_changes_no_other_row(name, missing):
    field, rows = ALL[name], ROWS.head(6)
    whole = field.encode(rows)
    for column in columns(field):
        cells = rows[column].astype(object).tolist()
        cells[1] = missing
        holed = field.encode(rows.assign(**{column: pd.Series(cells, rows.index, object)}))
        assert not holed[1].any()
        np.testing.assert_array_equal(np.delete(holed, 1, axis=0), np.delete(whole, 1, axis=0))


@pytest.mark.parametrize("name", CATEGORICAL)
def test_a_column_of_nothing_but_missing_values_has_id_0(name):
    field, rows = ALL[name], ROWS.head(3)
    for column in columns(field):
        for empty in (pd.Series([None] * 3, rows.index, object), pd.Series(np.nan, rows.index)):
            assert not field.encode(rows.assign(**{column: empty})).any()


@pytest.mark.parametrize("dtype", ["Int64", "float64", "category", object])
def test_a_missing_code_has_id_0_in_every_type_of_column(dtype):
    column = pd.Series([25, None, 1], dtype="Int64").astype(dtype)
    frame = pd.DataFrame({"age": column, "uid": column})
    age = Feature("age", "single", "age", 2, (1, 25))
    assert age.encode(frame)[:, 0].tolist() == [2, 0, 1]
    assert Feature("uid", "single", "uid", 30).encode(frame)[:, 0].tolist() == [25, 0, 1]


def test_a_film_without_genres_has_none_whatever_stands_in_the_cell():
    genre = ALL["genre"]
    frame = pd.DataFrame(
        {"movie_genre": ["", "|", None, np.nan, pd.NA, "no such genre", genre.vocabulary[0]]}
    )
    ids = genre.encode(frame)
    assert not ids[:-1].any()
    assert ids[-1].tolist() == [1] + [0] * (genre.slots - 1)


def test_lists_of_ids_may_be_missing_or_hold_missing_ids():
    genre = features.post_features(1, 1, 14)[3]
    lists = pd.Series([[1, 2, 0], None, [3, None, 0], np.array([4, 5, 6])])
    assert genre.encode(pd.DataFrame({"movie_genre": lists})).tolist() == [
        [1, 2, 0], [0, 0, 0], [3, 0, 0], [4, 5, 6]
    ]  # fmt: skip
    with pytest.raises(TypeError, match=r"row 1: \[1, 2\] is no list of 3 ids"):
        genre.encode(pd.DataFrame({"movie_genre": [[1, 2, 0], [1, 2]]}))
    with pytest.raises(ValueError, match="ids 1 to 15 do not fit 0 … 14"):
        genre.encode(pd.DataFrame({"movie_genre": [[1, 2, 15]]}))


@pytest.mark.parametrize("missing", [*MISSING.values(), np.inf, 1e39], ids=[*MISSING, "inf", "1e39"])
def test_a_number_that_is_missing_names_its_column_and_row(missing):
    rows = pd.DataFrame({"occupation": pd.Series([3, missing], ["a", "b"], object)})
    with pytest.raises(
        ValueError, match=r"feature user_fea3: column 'occupation', row 'b': .* no finite number"
    ):
        ALL["user_fea3"].encode(rows)


# -- values of another type


@pytest.mark.parametrize("cell", ["1", pd.Timestamp("2020-01-01"), b"1"])
@pytest.mark.parametrize(
    "name", ["uid", "mid", "rated", "user_fea3", "since_first", "stretch_8", "uid_x_day"]
)
def test_an_id_or_number_of_another_type_is_named_with_its_type(name, cell):
    field = ALL[name]
    column = field.column if field.column != "timestamp" else "uid"
    wrong = ROWS.head(2).assign(**{column: pd.Series([1, cell], ROWS.index[:2], object)})
    with pytest.raises(TypeError, match=rf"column '{column}', row .* is of type {type(cell).__name__}"):
        field.encode(wrong)


@pytest.mark.parametrize(("name", "cell"), [("age", "25"), ("gender", 1), ("genre", 3.5), ("year", 1995)])
def test_a_value_of_another_type_than_the_vocabulary_is_refused(name, cell):
    field = ALL[name]
    with pytest.raises(TypeError, match=f"feature {name}: column '{field.column}' holds {cell!r}.*convert"):
        field.encode(pd.DataFrame({field.column: pd.Series([cell], dtype=object)}))


@pytest.mark.parametrize("name", ["uid", "mid", "raters", "since_first", "stretch_8"])
def test_an_id_with_a_fraction_is_refused(name):
    column = ALL[name].column if ALL[name].column != "timestamp" else "uid"
    with pytest.raises(ValueError, match=r"column '\w+', row 1: 3.7 is no whole number"):
        ALL[name].encode(ROWS.head(2).assign(**{column: [3.0, 3.7]}))


@pytest.mark.parametrize("name", [n for n in ALL if n not in ("day",)])
def test_a_missing_column_is_named_with_the_field(name):
    field = ALL[name]
    for column in columns(field) or ["uid", "timestamp"]:
        with pytest.raises(KeyError, match=f"no column '{column}'; the frame has "):
            field.encode(ROWS.drop(columns=column))


# -- written and read back


def same(one, other):
    """Whether two fields are equal, arrays included, which dataclasses leave out."""
    for attribute in dataclasses.fields(one):
        a, b = getattr(one, attribute.name), getattr(other, attribute.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        elif attribute.name == "parts":
            assert all(same(x, y) for x, y in zip(a, b, strict=True))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("name", ALL)
def test_every_field_comes_back_from_json(name):
    field = ALL[name]
    back = Feature.from_dict(json.loads(json.dumps(field.to_dict(), allow_nan=False)))
    assert same(field, back)
    np.testing.assert_array_equal(field.encode(ROWS), back.encode(ROWS))
    assert back.labels(DATA.codebook) == field.labels(DATA.codebook)


def test_a_class_of_a_reader_comes_back_too():
    class FirstLetter(Feature):
        def read(self, cell):
            return (cell[0],)

    field = FirstLetter("letter", "single", "movie_name", owner="film").described(DATA.movies)
    back = Feature.from_dict(json.loads(json.dumps(field.to_dict())))
    assert same(field, back)
    del features._CLASSES["FirstLetter"]
    with pytest.raises(
        ValueError, match="no class of fields is called 'FirstLetter'; known are .*import the module"
    ):
        Feature.from_dict(field.to_dict())


def test_attributes_of_another_version_are_refused():
    with pytest.raises(ValueError, match="attributes of a Feature are others.*colour"):
        Feature.from_dict(ALL["uid"].to_dict() | {"colour": "red"})


# -- owner, labels, penalty


def test_every_field_says_whose_it_is():
    assert {name: f.owner for name, f in ALL.items()} == {
        "user_fea3": "user", "uid": "user", "mid": "film", "gender": "user", "age": "user", "occupation": "user",
        "genre": "film", "year": "film", "day": "rating", "since_first": "rating", "rated": "user",
        "raters": "film", "stretch_8": "rating", "stretch_16": "rating", "gender_x_age": "user",
        "mid_x_year": "film", "gender_x_genre": "rating", "uid_x_day": "rating",
        "gender_x_genre_x_occupation": "rating",
    }  # fmt: skip
    assert Feature("zip", "single", "zip").owner == "rating"
    with pytest.raises(ValueError, match="owner 'studio' is not one of user, film, rating"):
        Feature("studio", "single", "studio", owner="studio")


@pytest.mark.parametrize("name", [n for n, f in ALL.items() if f.owner != "rating"])
def test_a_field_of_a_user_or_film_can_be_encoded_from_their_frame_alone(name):
    field, frames = ALL[name], {"user": (DATA.users, "uid"), "film": (DATA.movies, "mid")}
    frame, key = frames[field.owner]
    of = dict(zip(frame[key], field.encode(frame).tolist(), strict=True))
    assert [of[i] for i in ROWS[key]] == field.encode(ROWS).tolist()


@pytest.mark.parametrize("name", CATEGORICAL)
def test_every_id_has_a_label_of_its_own(name):
    labels = ALL[name].labels(DATA.codebook)
    assert len(labels) == ALL[name].size
    if "stretch" not in name:  # two stretches of a day have the same date
        assert len(set(labels)) == len(labels)


def test_labels_are_what_the_ids_mean():
    def label(name, row=0):
        return ALL[name].labels(DATA.codebook)[ALL[name].encode(ROWS.iloc[[row]])[0, 0] - 1]

    row = ROWS.iloc[0]
    gender, age = DATA.codebook["gender"][row.gender], DATA.codebook["age"][row.age]
    assert (label("gender"), label("age"), label("gender_x_age")) == (gender, age, f"{gender} × {age}")
    assert label("uid") == str(row.uid)
    assert label("day") == str(pd.to_datetime(row.timestamp, unit="s").date())
    assert label("stretch_8").startswith(f"user {row.uid} from ")
    assert ALL["since_first"].labels()[:4] == [f"from {h} hours" for h in ("0", "0.25", "0.75", "1.75")]
    assert ALL["genre"].labels()[0] == ALL["genre"].vocabulary[0]


def test_every_field_brings_a_penalty():
    expected = dict.fromkeys(ALL, 25.0)
    expected |= {
        "uid": 12.0,
        "mid": 20.0,
        "rated": 15.0,
        "raters": 15.0,
        "stretch_8": 60.0,
        "stretch_16": 60.0,
    }
    assert {name: f.penalty for name, f in ALL.items()} == expected


def test_a_vocabulary_has_as_many_values_as_size_says():
    with pytest.raises(ValueError, match="feature gender: the vocabulary has 1 values, and size is 2"):
        Feature("gender", "single", "gender", 2, ("F",))


def test_more_combinations_than_ids_are_refused():
    users, films = Feature("uid", "single", "uid", 10**5), Feature("mid", "single", "mid", 10**5)
    with pytest.raises(ValueError, match="100,000 × 100,000 combinations are too many"):
        cross(users, films)


# -- the table of fields


def test_describe_its_message_and_its_docstring_follow_from_one_table(monkeypatch):
    assert f"names out of {', '.join(FIELDS)};" in describe.__doc__
    with pytest.raises(ValueError, match=f"unknown field zodiac; choose from {', '.join(FIELDS)}"):
        describe(DATA, ["zodiac"])
    monkeypatch.setitem(FIELDS, "zip", Feature("zip", "single", "zip", owner="user"))
    assert describe(DATA, ["zip"])[0].vocabulary == tuple(sorted(DATA.users.zip.unique()))


def test_describe_says_which_column_is_missing():
    data = dataclasses.replace(DATA, users=DATA.users.drop(columns="age"))
    with pytest.raises(
        KeyError, match="planted has no column for age; it has .*uid, mid, gender, occupation"
    ):
        describe(data, ("uid", "age"))
    assert [field.name for field in describe(data)] == ["uid", "mid", "gender", "occupation", "genre"]


def test_a_missing_value_is_none_of_the_vocabulary():
    users = DATA.users.astype({"gender": object, "age": "Int64"})
    users.loc[0, ["gender", "age"]] = None
    data = dataclasses.replace(DATA, users=users)
    gender, age = describe(data, ("gender", "age"))
    assert gender.vocabulary == ("F", "M")
    assert set(age.vocabulary) <= set(DATA.users.age)


# -- release year


@pytest.mark.parametrize(
    ("title", "years"),
    [
        ("Toy Story (1995)", ["1995"]),
        ("Modern Times (1936)", ["1930s"]),
        ("Z (1969)", ["1960s"]),
        ("Patton (1970)", ["1970"]),
        ("Blade Runner (1982) (Director's Cut) (1992)", ["1992"]),
        ("Land Before Time III (1995) (V)", ["1995"]),
        ("2001: A Space Odyssey", []),
        ("unknown", []),
    ],
)
def test_the_year_is_the_last_of_the_title_and_a_decade_before_1970(title, years):
    assert FIELDS["year"].read(title) == years


def test_a_title_without_a_year_or_no_title_has_id_0():
    year = Year("year", "single", "movie_name", 2, ("1930s", "1995"))
    titles = ["A (1995)", "unknown", None, "B (1934)", "C (2024)"]
    assert year.encode(pd.DataFrame({"movie_name": titles}))[:, 0].tolist() == [2, 0, 0, 1, 0]


def test_the_year_is_derived_and_leaves_data_and_defaults_alone():
    assert "year" not in [f.name for f in describe(DATA)]
    assert "year" not in ROWS


def test_the_years_of_the_real_data(real_data):
    movies = datasets.load_movies(real_data("ml-1m"))
    year = FIELDS["year"].described(movies)
    assert (year.vocabulary[0], year.vocabulary[-1], year.size) == ("1910s", "2000", 37)
    assert year.encode(movies).min() == 1


@pytest.fixture(scope="module")
def with_year():
    fields = describe(DATA, ("uid", "mid", "gender", "age", "genre", "year"))
    model = models.deep_fm_model(
        features=fields, k=3, dnn_dim=(4,), dnn_dr=0.0, embedding_spread=0.3, mean_rating=3.5
    )[-1]
    return fields, model


def test_two_sides_take_the_year(with_year):
    fields, model = with_year
    sides = recommending.TwoSides(model, DATA, fields, ROWS)
    pairs = DATA.users[["uid"]].head(3).merge(sides.films[["mid"]], how="cross").assign(rating=0.0)
    x, _ = features.df2xy(datasets.join(pairs, DATA.movies, DATA.users), fields)
    rated = sides.counts > 0
    found = sides.scores(DATA.users.uid.head(3))[:, rated]
    expected = evaluation.predict(model, x).reshape(3, -1)[:, rated]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_new_film_has_the_year_of_its_title(with_year):
    fields, model = with_year
    sides, year = recommending.TwoSides(model, DATA, fields, ROWS), fields[-1]
    first, last = (
        sides.new_film({"movie_name": f"New ({y})", "movie_genre": "Drama"})
        for y in (year.vocabulary[-2], year.vocabulary[-1])
    )
    weights = anatomy.tables(model, year).first.get_weights()[0][:, 0]
    np.testing.assert_allclose(last.first - first.first, weights[-1] - weights[-2], rtol=1e-4)


def test_the_live_page_takes_the_year(with_year, tmp_path):
    fields, model = with_year
    exported = live.export(model, fields, DATA, ROWS, tmp_path / "model.js", error=1.0)
    (written,) = [f for f in exported["fields"] if f["name"] == "year"]
    assert written["side"] == "film"
    assert written["values"][: fields[-1].size] == list(fields[-1].vocabulary)
    films, people = exported["films"], exported["people"]
    rows = [
        people["row"][0],
        1,
        *(people["values"][n][0] for n in ("gender", "age")),
        films["values"]["genre"][0],
        films["values"]["year"][0],
    ]
    pair = (
        DATA.users[DATA.users.uid == people["uid"][0]]
        .head(1)[["uid"]]
        .assign(mid=DATA.movies.mid.min(), rating=0.0)
    )
    x, _ = features.df2xy(datasets.join(pair, DATA.movies, DATA.users), fields)
    assert form.terms(exported, rows).sum() == pytest.approx(
        float(model.predict(x, verbose=0)[0, 0]), abs=1e-4
    )


@pytest.mark.parametrize("build", ["fm", "wide_deep"])
def test_the_other_models_take_the_year(build, with_year):
    fields, _ = with_year
    crosses = [cross(fields[-1], fields[2])]
    model = (
        models.fm_model(fields, k=3)
        if build == "fm"
        else models.wide_deep_model(fields, crosses, k=3, dnn_dim=(4,))
    )
    x, _ = features.df2xy(ROWS, [*fields, *(crosses if build == "wide_deep" else [])])
    assert np.isfinite(model.predict(x, verbose=0)).all()


# -- models of every kind of field, saved


def small(fields):
    return models.deep_fm_model(features=fields, k=2, dnn_dim=(3,), embedding_spread=0.3, mean_rating=3.5)[-1]


@pytest.mark.parametrize("name", ALL)
def test_a_saved_model_with_any_field_predicts_the_same(name, tmp_path):
    fields = (ALL["mid"], *([ALL[name]] if name != "mid" else [ALL["uid"]]))
    if fields[1].wide:
        fields = (*fields, ALL["gender"])
    model = small(fields)
    saving.save(model, fields, tmp_path / "m.keras")
    again, back = saving.load(tmp_path / "m.keras")
    assert all(same(one, other) for one, other in zip(fields, back, strict=True))
    x, _ = features.df2xy(ROWS.head(50), fields)
    x_back, _ = features.df2xy(ROWS.head(50), back)
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x_back, verbose=0))

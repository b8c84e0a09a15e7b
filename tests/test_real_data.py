"""Facts about the real files, checked on them; skipped where there is no data folder."""

import io
import re

import numpy as np
import pandas as pd
import pytest

from deepfm_helpers import datasets, fetching
from deepfm_helpers.catalogue import DATASETS, GENRES, OCCUPATIONS_100K

FINGERPRINTS = {
    "ml-1m": "37d70aab78a6b76fece702e739010a117d9106ac0fb15a1754ad4875d74d19a2",
    "ml-100k": "6861fcc88a7f266a2cdeda3e3feee3d968c2cd426416e07cf30af143067a3bce",
}


@pytest.fixture(scope="module")
def ml_1m(real_data):
    return datasets.load("ml-1m", folder=real_data("ml-1m"))


@pytest.fixture(scope="module")
def ml_100k(real_data):
    return datasets.load("ml-100k", folder=real_data("ml-100k"))


def test_ml_1m_has_its_published_size(ml_1m):
    sizes = len(ml_1m.ratings), len(ml_1m.users), len(ml_1m.movies)
    assert sizes == DATASETS["ml-1m"].sizes == (1_000_209, 6_040, 3_883)
    assert ml_1m.movies["mid"].max() == 3952
    assert (~ml_1m.movies["mid"].isin(ml_1m.ratings["mid"])).sum() == 177
    assert ml_1m.ratings["uid"].value_counts().min() == 20
    assert ml_1m.ratings["rating"].value_counts().sort_index().tolist() == [
        56174,
        107557,
        261197,
        348971,
        226310,
    ]
    assert ml_1m.provenance.fingerprint == FINGERPRINTS["ml-1m"]


def test_ml_1m_is_sorted_by_user(ml_1m):
    assert ml_1m.ratings["uid"].is_monotonic_increasing
    tail = ml_1m.ratings.iloc[-len(ml_1m.ratings) // 10 :]
    head = ml_1m.ratings.iloc[: -len(tail)]
    assert len(set(tail["uid"]) & set(head["uid"])) <= 1


def test_ml_1m_joins_to_the_rows_of_the_post(ml_1m):
    joined = datasets.join(ml_1m.ratings, ml_1m.movies, ml_1m.users)
    assert len(joined) == 1_000_209
    first = joined.head(5)
    assert first["mid"].tolist() == [1193, 661, 914, 3408, 2355]
    assert first["movie_genre"].tolist() == [
        "Drama",
        "Animation|Children's|Musical",
        "Musical|Romance",
        "Drama",
        "Animation|Children's|Comedy",
    ]
    for column, value in {"uid": 1, "gender": "F", "age": 1, "occupation": 10, "zip": "48067"}.items():
        assert (first[column] == value).all()
    assert joined.notna().all(axis=None)


def test_ml_1m_reads_as_other_readers_read_it(real_data):
    folder = real_data("ml-1m")
    text = {
        file: (folder / f"{file}.dat").read_text(encoding="latin-1")
        for file in ("ratings", "movies", "users")
    }
    numbers = np.loadtxt(io.StringIO(text["ratings"].replace("::", " ")), dtype="int64")
    assert np.array_equal(datasets.load_ratings(folder).to_numpy("int64"), numbers)
    movies = re.findall(r"(\d+)::(.*?)::(.*)\n", text["movies"])
    assert [(str(m), n, g) for m, n, g in datasets.load_movies(folder).itertuples(index=False)] == movies
    users = re.findall(r"(\d+)::([FM])::(\d+)::(\d+)::(.*)\n", text["users"])
    assert [tuple(map(str, row)) for row in datasets.load_users(folder).itertuples(index=False)] == users
    assert (len(movies), len(users)) == (text["movies"].count("\n"), text["users"].count("\n"))


def test_ml_100k_has_its_published_size(ml_100k, real_data):
    sizes = {"users": len(ml_100k.users), "items": len(ml_100k.movies), "ratings": len(ml_100k.ratings)}
    assert sizes == {"users": 943, "items": 1_682, "ratings": 100_000}
    assert (sizes["ratings"], sizes["users"], sizes["items"]) == DATASETS["ml-100k"].sizes
    info = (real_data("ml-100k") / "u.info").read_text().split()
    assert {what: int(n) for n, what in zip(info[::2], info[1::2], strict=True)} == sizes
    assert ml_100k.provenance.fingerprint == FINGERPRINTS["ml-100k"]


def test_ml_100k_is_not_sorted_by_user(ml_100k):
    assert ml_100k.ratings["uid"].head(3).tolist() == [196, 186, 22]
    tail = ml_100k.ratings["uid"].iloc[-10_000:]
    assert tail.isin(ml_100k.ratings["uid"].iloc[:-10_000]).mean() > 0.5


def test_the_codes_of_ml_100k_are_those_of_its_own_lists(real_data):
    folder = real_data("ml-100k")
    assert tuple((folder / "u.occupation").read_text().split()) == OCCUPATIONS_100K
    genres = [line.split("|")[0] for line in (folder / "u.genre").read_text().split()]
    assert genres == ["unknown", *GENRES]


def test_the_published_split_of_ml_100k_holds_the_same_ratings(ml_100k, real_data):
    columns = list(ml_100k.ratings.columns)
    parts = [
        pd.read_csv(real_data("ml-100k") / f"u1.{part}", sep="\t", names=columns) for part in ("base", "test")
    ]
    assert [len(part) for part in parts] == [80_000, 20_000]
    split = pd.concat(parts).sort_values(["uid", "mid"], ignore_index=True)
    ours = ml_100k.ratings.sort_values(["uid", "mid"], ignore_index=True)
    pd.testing.assert_frame_equal(ours, split.astype(ours.dtypes))


def test_accents_and_titles_of_ml_100k_survive(ml_100k):
    names = ml_100k.movies.set_index("mid")["movie_name"]
    assert names[267] == "unknown"
    assert names[1128] == "Heidi Fleiss: Hollywood Madam (1995)"
    assert names[1412].endswith("(1995) (V)")
    assert names.str.contains("[^\x00-\x7f]").sum() == 9
    assert (names == names.str.strip()).all()
    assert names.drop(267).str.contains(r"\(\d{4}\)").all()


def test_the_fetched_copy_of_ml_100k_has_the_same_content():
    if not (cached := fetching.cache_folder() / "ml-100k").is_dir():
        pytest.skip("ml-100k is not in the cache")
    assert datasets.load("ml-100k", folder=cached).provenance.fingerprint == FINGERPRINTS["ml-100k"]

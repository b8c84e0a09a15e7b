"""MovieLens in miniature: files of a few lines in each of the published formats."""

import hashlib
from pathlib import Path

from deepfm_helpers.catalogue import GENRES, NO_GENRE

ML_1M = {
    "ratings.dat": "1::10::5::978300760\n1::20::3::978302109\n2::10::4::978301968\n",
    "movies.dat": "10::Alien: The Return (1979)::Horror|Sci-Fi\n20::Amélie (2001)::Comedy\n"
    "30::Unseen (1990)::Drama\n",
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072-1234\n",
}
FLAGS = dict.fromkeys(("unknown", *GENRES), "0")
ML_100K = {
    "u.data": "2\t1\t5\t881250949\n1\t2\t3\t891717742\n2\t3\t4\t878887116\n2\t267\t1\t878887117\n",
    "u.item": "".join(
        f"{mid}|{title}|01-Jan-1995||http://x|{'|'.join((FLAGS | dict.fromkeys(genres, '1')).values())}\n"
        for mid, title, genres in [
            (1, "Été (1995)", ["Drama", "Comedy"]),
            (2, "Time: Part III (1995) (V)", ["Film-Noir"]),
            (3, "Two Friends (1986) ", ["Children's", "Drama"]),
            (267, "unknown", ["unknown"]),
        ]
    ),
    "u.user": "1|24|M|technician|85711\n2|53|F|administrator|T8H1N\n",
}
RECBOLE = {
    "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + ML_100K["u.data"],
    "ml-100k.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tÉté\t1995\tComedy Drama\n2\tTime: Part III (1995)\tV\tFilm-Noir\n"
    "3\tTwo Friends\t1986\tChildren's Drama\n267\tunkonwn\tunkonwn\tunknown\n",
    "ml-100k.user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    "1\t24\tM\ttechnician\t85711\n2\t53\tF\tadministrator\tT8H1N\n",
}

CSV = {
    "ratings.csv": "userId,movieId,rating,timestamp\n3,20,0.5,1112484940\n1,10,4.0,964982703\n1,30,4.5,964981247\n",
    "movies.csv": "movieId,title,genres\n10,Amélie (2001),Children|IMAX\n"
    '20,"American President, The (1995)",Comedy|Drama|Romance\n'
    '30,"""Great"" Film, A",(no genres listed)\n',
}


def write_latest_small(folder: Path, data) -> Path:
    """Write a dataset in the form of ml-latest-small: as CSV, without its users, half of the ratings half a star lower.

    Args:
        folder: where the folder `ml-latest-small` is made.
        data: a `datasets.MovieLens`.

    Returns:
        The new folder.
    """
    place = folder / "ml-latest-small"
    place.mkdir(parents=True)
    ratings = data.ratings.sort_values(["uid", "mid"], ignore_index=True)
    stars = (ratings.rating - ratings.index % 2 / 2).map("{:.1f}".format)
    names = dict(zip(ratings, ("userId", "movieId", "rating", "timestamp"), strict=True))
    ratings.assign(rating=stars).rename(columns=names).to_csv(place / "ratings.csv", index=False)
    genres = data.movies.movie_genre.replace({"Children's": "Children", "unknown": ""}, regex=True)
    films = data.movies.assign(movie_genre=genres.replace({"": NO_GENRE}))
    names = dict(zip(films, ("movieId", "title", "genres"), strict=True))
    films.rename(columns=names).to_csv(place / "movies.csv", index=False)
    return place


def contents(files: dict[str, str]) -> dict[str, bytes]:
    return {
        name: text.encode("utf-8" if name.startswith("ml-100k.") or name.endswith(".csv") else "latin-1")
        for name, text in files.items()
    }


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents(files).items():
        (folder / name).write_bytes(data)
    return folder


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

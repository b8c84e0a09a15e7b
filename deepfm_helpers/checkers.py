"""The checkers of the book's exercises: one small function each, named by chapter and number, with hints in steps.

A checker takes the answer, and what the answer is about by name (rows, a model), and returns a sentence that says what
a right answer has shown. What it compares with it computes from its arguments, never from a stored number, so it
holds under any dataset and any seed.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepfm_helpers.grading import Wrong, call, compare, judge, kind


class Exercise(NamedTuple):
    """An exercise: its checker and its hints, each of which says a little more than the one before."""

    check: Callable[..., str]
    hints: tuple[str, ...]


EXERCISES: dict[str, Exercise] = {}
"""Name of an exercise, such as "4.1" -> its checker and hints."""


def exercise(name: str, *hints: str) -> Callable[[Callable], Callable]:
    """Return a decorator that enters a checker, with the exercise's hints, in `EXERCISES`.

    Raises:
        ValueError: the name is taken, or there is no hint.
    """
    if name in EXERCISES or not hints:
        raise ValueError(f"exercise {name}: the name is taken, or there is no hint")

    def enter(checker: Callable) -> Callable:
        EXERCISES[name] = Exercise(checker, hints)
        return checker

    return enter


def _dice() -> np.random.Generator:
    return np.random.default_rng(0)


# 1 Loading

AGE_CODES = (1, 18, 25, 35, 45, 50, 56)


@exercise(
    "1.1",
    "A code is the lower end of its group: an age of 30 gets the largest code that is not above 30.",
    "`np.searchsorted(ends, age, side=...)` says between which two ends an age lies; think of an age that is an end.",
)
def bucket(codes: Callable) -> str:
    """`bucket(age)`: an array of ages in years -> the codes of ml-1m."""
    ends = np.array(AGE_CODES)

    def at(age: np.ndarray, side: str, step: int) -> np.ndarray:
        return ends[np.clip(np.searchsorted(ends, age, side=side) + step, 0, len(ends) - 1)]

    compare(
        codes,
        [(np.array(ages),) for ages in ([30], [18], [17, 25, 60], [49, 50, 56], range(1, 100))],
        lambda age: np.array([max(end for end in AGE_CODES if end <= a) for a in age]),
        {
            "An age that equals the lower end of a group belongs to that group.": lambda age: at(
                age, "left", -1
            ),
            "This gives the lower end of the next group.": lambda age: at(age, "right", 0),
            "This gives the nearest end, and a code is the end below.": lambda age: ends[
                np.abs(age[:, None] - ends).argmin(axis=1)
            ],
            "This numbers the groups; the codes are their lower ends.": lambda age: (
                np.searchsorted(ends, age, side="right") - 1
            ),
        },
    )
    return "Every age has become a code of ml-1m, and an age that is a code already stays what it is."


@exercise(
    "1.2",
    "Sort by `timestamp` first; then the last tenth of the rows are the latest.",
    "Of the users in the last tenth, each counted once, which also occur in the rows before it?",
)
def known_share(share: Callable) -> str:
    """`known(ratings)`: the share of the users in the latest tenth of the rows who have earlier rows."""

    def right(ratings: pd.DataFrame) -> float:
        rows = sorted(ratings.itertuples(), key=lambda row: row.timestamp)
        cut = len(rows) - len(rows) // 10
        late, early = ({row.uid for row in part} for part in (rows[cut:], rows[:cut]))
        return len(late & early) / len(late)

    def known(ratings: pd.DataFrame, by: str | None = "timestamp", users: bool = True) -> float:
        rows = ratings.sort_values(by, kind="stable") if by else ratings
        cut = len(rows) - len(rows) // 10
        late = rows.uid[cut:].drop_duplicates() if users else rows.uid[cut:]
        return float(late.isin(rows.uid[:cut]).mean())

    dice = _dice()
    drawn = []
    for n, n_users in ((20, 6), (60, 30), (500, 180)):
        drawn.append(
            pd.DataFrame(
                {"uid": dice.integers(1, n_users + 1, n), "timestamp": dice.permutation(n), "rating": 3}
            )
        )
    compare(
        share,
        [(ratings,) for ratings in drawn],
        right,
        {
            "These are the last rows of the file; the latest rows are another tenth.": lambda r: known(
                r, None
            ),
            "This sorts by user, which holds out whole users.": lambda r: known(r, "uid"),
            "This counts rows; a user with many rows in the tenth counts once.": lambda r: known(
                r, users=False
            ),
            "This is a number of percent; a share lies between 0 and 1.": lambda r: 100 * right(r),
        },
    )
    return "This is how many of the people in an exam in time are known to the model."


# 2 Several genres in one row


@exercise(
    "2.1",
    'With `truncating="post"` the list is cut at its end, with `"pre"` at its beginning.',
    "Three places hold the first three of a film's genres; the others get none.",
)
def no_place(left_out: Callable) -> str:
    """`left_out(genres)`: which of a film's genres, in the order of its list, get no place when the end is cut."""
    names = ["Action", "Comedy", "Drama", "Romance", "Thriller", "War"]
    compare(
        left_out,
        [(names[:n],) for n in (4, 5, 6, 3, 1)],
        lambda genres: [name for place, name in enumerate(genres) if place >= 3],
        {
            "These are the genres that keep a place.": lambda genres: genres[:3],
            "This cuts at the beginning of the list, as the post does.": lambda genres: genres[:-3],
        },
    )
    return "Cut at its other end, a list loses the end of the alphabet instead of its beginning."


@exercise(
    "2.2",
    "Ids run from 1, and `n_genre` counts the id 0 of the padding as well.",
    "A place is needed for each genre of the film that has the most.",
)
def smallest_setting(smallest: Callable) -> str:
    """`smallest(text)`: `n_genre` and `maxlen` of the smallest encoding of "A|B" texts that loses nothing."""

    def sizes(text: Sequence[str]) -> tuple[int, list[int]]:
        lists = [one.split("|") for one in text]
        return len({name for one in lists for name in one}), [len(one) for one in lists]

    cases = (
        ["Drama"],
        ["Drama|War", "Comedy"],
        ["Action|Crime|Drama", "Crime", "Comedy|Drama", "War"],
        ["A|B|C|D|E", "F", "B|F", "G|H|A"],
    )
    compare(
        smallest,
        [(pd.Series(case),) for case in cases],
        lambda text: np.array([sizes(text)[0] + 1, max(sizes(text)[1])]),
        {
            "The id 0 of the padding needs a place among the ids as well.": lambda text: np.array(
                [sizes(text)[0], max(sizes(text)[1])]
            ),
            "A film with fewer genres than the longest list still needs no more; the longest list decides.": (
                lambda text: np.array([sizes(text)[0] + 1, int(np.mean(sizes(text)[1]))])
            ),
            "`maxlen` counts genres of one film, not separators.": lambda text: np.array(
                [sizes(text)[0] + 1, max(sizes(text)[1]) - 1]
            ),
            "The order is `n_genre`, then `maxlen`.": lambda text: np.array(
                [max(sizes(text)[1]), sizes(text)[0] + 1]
            ),
        },
    )
    return "One less of either, and some film loses a genre."


@exercise(
    "2.3",
    "Write each score as a mean of three numbers with padding, and of one or two with the mask.",
    "With padding, a pure comedy scores (comedy + 2 · padding) / 3, and a film without genres the weight of padding.",
)
def two_genres(both: Callable) -> str:
    """`both(comedy, drama, none)`: the score of a film with two genres, with padding and with the mask, from the
    scores of a pure comedy, a pure drama and a film without genres, each scored in the same way."""
    dice = _dice()
    weights = [dice.integers(-4, 5, 3).astype(float) * scale for scale in (3, 1, 0.5)]
    cases = []
    for mask in (False, True):
        for padding, comedy, drama in weights:

            def score(*present: float, mask=mask, padding=padding) -> float:
                if mask:
                    return float(np.mean(present)) if present else 0.0
                return (sum(present) + (3 - len(present)) * padding) / 3

            cases.append((mask, (score(comedy), score(drama), score()), score(comedy, drama)))
    for mask, alone, right in cases:
        c, d, none = alone
        found = call(both, *alone)
        if np.shape(found) != (2,):
            raise Wrong("Expected are two numbers: the score with padding, and the score with the mask.")
        mistakes = {
            "The score of a film without genres is in both of the others, and is counted twice here.": c + d,
            "With padding the two scores do not average; they add up.": (c + d) / 2,
            "This is the score with the mask and the score with padding the other way round.": (
                c + d - none if mask else (c + d) / 2
            ),
        }
        which = "with the mask" if mask else "with padding"
        judge(found[int(mask)], right, mistakes, f"comedy {c:.3f}, drama {d:.3f}, none {none:.3f}, {which}")
    return "With padding two genres add up; with the mask the score lies halfway between theirs."


# 3 Weights and biases


@exercise(
    "3.1",
    "What has to happen to another field's weights, so that the sum over a row stays the same?",
    "Every row has one film and one user: what the film's weight gains, the user's has to lose.",
)
def same_predictions(shifted: Callable) -> str:
    """`shifted(weights)`: 0.3 more for each film, and every prediction as before; weights are arrays by field."""
    dice = _dice()
    for n_users, n_films in ((2, 3), (10, 20)):
        sizes = {"uid": n_users, "mid": n_films, "genre": 4}
        weights = {name: dice.normal(size=n).round(2) for name, n in sizes.items()}
        found = call(shifted, weights)
        example = f"{n_users} users and {n_films} films"
        if not isinstance(found, Mapping) or found.keys() != weights.keys():
            raise Wrong("Expected are the weights of the same fields, as a dict of arrays.", example)
        moved = {name: np.asarray(found[name]) - weights[name] for name in weights}
        if any(np.ndim(move) != 1 for move in moved.values()):
            raise Wrong("Expected is one array of weights for each field.", example)
        if not np.allclose(moved["mid"], 0.3):
            raise Wrong("The weight of every film has to grow by 0.3.", example)
        rows = [moved["uid"][u] + moved["mid"][m] for u in range(n_users) for m in range(n_films)]
        if not np.allclose(rows, rows[0]) or not np.allclose(moved["genre"], moved["genre"][0]):
            raise Wrong("Some predictions have changed by more than others.", example)
        change = rows[0] + moved["genre"][0]
        if not np.isclose(change, 0, atol=1e-9):
            raise Wrong(f"Every prediction has changed by {change:+.2f}.", example)
    return "The data fixes only the differences between films; a constant may sit in either field."


@exercise(
    "3.2",
    "Count the training rows of each film, then look up the film of each validation row.",
    "A film without a training row is in no count; it has 0.",
)
def training_counts(counts: Callable) -> str:
    """`counts(train, valid)`: for each validation row, how many training rows its film has."""
    dice = _dice()
    cases = []
    for n, n_films in ((4, 3), (12, 6), (200, 60)):
        frames = [pd.DataFrame({"mid": dice.integers(1, n_films + 1, size)}) for size in (n, max(2, n // 3))]
        frames[1].loc[0, "mid"] = n_films + 1  # a film that no training row has
        cases.append(tuple(frames))
    compare(
        counts,
        cases,
        lambda train, valid: np.array([sum(train.mid == film) for film in valid.mid]),
        {
            "These are counts of the validation rows.": lambda train, valid: valid.mid.map(
                valid.mid.value_counts()
            ).to_numpy(),
            "A film without any training row gets NaN here; it has 0 of them.": lambda train, valid: (
                valid.mid.map(train.mid.value_counts()).to_numpy()
            ),
            "This gives one count for each film; expected is one for each validation row.": lambda train, valid: (
                train.mid.value_counts().to_numpy()
            ),
        },
    )
    return (
        "The films with the fewest ratings are found by what training has seen, not by what validation holds."
    )


@exercise(
    "3.3",
    "Replace each value by the mean of the ratings of its category.",
    "The share is one minus the variance that is left, divided by the variance of the ratings.",
)
def explained_by_categories(explained: Callable) -> str:
    """`explained(values, ratings)`: the share of the ratings' variance that the means of the categories explain."""

    def right(values: np.ndarray, ratings: np.ndarray) -> float:
        left = [rating - np.mean([r for v, r in zip(values, ratings, strict=True) if v == value])
                for value, rating in zip(values, ratings, strict=True)]  # fmt: skip
        return 1 - float(np.mean(np.square(left)) / np.var(ratings))

    def line(values: np.ndarray, ratings: np.ndarray) -> float:
        return float(np.corrcoef(values, ratings)[0, 1] ** 2)

    def unweighted(values: np.ndarray, ratings: np.ndarray) -> float:
        means = pd.Series(ratings).groupby(values).mean()
        return float(means.var(ddof=0) / np.var(ratings))

    dice = _dice()
    compare(
        explained,
        [
            (dice.choice([18, 25, 35, 50], n, p=[0.5, 0.3, 0.1, 0.1]), dice.integers(1, 6, n).astype(float))
            for n in (12, 40, 300)
        ],
        right,
        {
            "This is the share that a straight line explains.": line,
            "This weights all categories alike, however many rows they have.": unweighted,
            "This is the share that is left, not the share that is explained.": lambda v, r: 1 - right(v, r),
            "This is a number of percent; a share lies between 0 and 1.": lambda v, r: 100 * right(v, r),
        },
    )
    return "On the rows that they are fitted to, categories never explain less than a line."


# 4 From weights to vectors


def _all_pairs(vectors: np.ndarray) -> float:
    return float(sum(a @ b for a, b in combinations(vectors, 2)))


@exercise(
    "4.1",
    "Which pairs are there after the new feature has joined that were not there before?",
    "The new feature is in one pair with each old one. A sum of dot products with the same vector is one dot product.",
)
def one_more_feature(added: Callable) -> str:
    """`added(total, new)`: the growth of the sum of all pairs, from the sum of the old vectors and the new vector."""
    dice = _dice()
    sizes = [(1, 1), (2, 1), (2, 2), (4, 2), (7, 8)]
    drawn = [dice.integers(-3, 4, (n + 1, k)).astype(float) for n, k in sizes]
    of_case = {(tuple(v[:-1].sum(axis=0)), tuple(v[-1])): v for v in drawn}

    def right(total: np.ndarray, new: np.ndarray) -> float:
        vectors = of_case[tuple(total), tuple(new)]
        return _all_pairs(vectors) - _all_pairs(vectors[:-1])

    compare(
        added,
        [(v[:-1].sum(axis=0), v[-1]) for v in drawn],
        right,
        {
            "This counts every new pair twice.": lambda total, new: 2 * total @ new,
            "This also pairs the new feature with itself.": lambda total, new: (total + new) @ new,
            "This is the length of the new vector, squared; the old features have no part in it.": (
                lambda total, new: new @ new
            ),
            "These are products number by number; a dot product adds them up.": lambda total, new: (
                total * new
            ),
        },
    )
    return "The sum of all pairs grows by one dot product, however many features there were."


@exercise(
    "4.2",
    "A rotation is a square matrix whose columns have length 1 and are at right angles: `np.linalg.qr` of a random "
    "matrix gives one.",
    "Every vector is multiplied by the *same* matrix.",
)
def any_rotation(rotated: Callable) -> str:
    """`rotated(vectors)`: all rows turned by the same random rotation."""
    for n, k in ((2, 2), (5, 3), (20, 8)):
        vectors = _dice().normal(size=(n, k)).round(2)
        found = np.asarray(call(rotated, vectors))
        example = f"{n} vectors of length {k}"
        if found.shape != vectors.shape:
            raise Wrong(f"Expected is {kind(vectors)}; yours is {kind(found)}.", example)
        if np.allclose(found, vectors):
            raise Wrong("Nothing has moved: the vectors are the ones that came in.", example)
        before, after = vectors @ vectors.T, found @ found.T
        if np.allclose(before, after, atol=1e-6):
            continue
        if np.allclose(np.diag(before), np.diag(after), atol=1e-6):
            why = "Every vector kept its length, but their dot products have changed: they were not all turned alike."
        else:
            why = "The lengths of the vectors have changed; a rotation keeps them."
        raise Wrong(why, example)
    return "All dot products are as before, so no prediction changes: an axis by itself means nothing."


@exercise(
    "4.3",
    "Compute the three power sums of `z` first: the sum, the sum of squares, the sum of cubes.",
    "The formula stands in the exercise; test it on three numbers, where there is one triple.",
)
def triples(fast: Callable) -> str:
    """`fast(z)`: the sum of the products of all triples of different numbers."""
    dice = _dice()

    def sums(z: np.ndarray) -> list[float]:
        return [float((z**m).sum()) for m in (1, 2, 3)]

    def pairs(z: np.ndarray) -> float:
        s = sums(z)
        return (s[0] ** 2 - s[1]) / 2

    compare(
        fast,
        [(dice.integers(-3, 5, n).astype(float),) for n in (3, 4, 6, 12)],
        lambda z: float(sum(a * b * c for a, b, c in combinations(z, 3))),
        {
            "This is the sum over all pairs.": pairs,
            "Every triple is counted six times, once for each order.": lambda z: (
                sums(z)[0] ** 3 - 3 * sums(z)[0] * sums(z)[1] + 2 * sums(z)[2]
            ),
            "This holds products in which a number meets itself.": lambda z: sums(z)[0] ** 3 / 6,
        },
    )
    return (
        "Triples have a fast form as well: three sums over the features, instead of a loop over all triples."
    )

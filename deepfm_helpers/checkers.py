"""The checkers of the book's exercises: one small function each, named by chapter and number, with hints in steps.

A checker takes the answer, and what the answer is about by name (rows, a model), and returns a sentence that says what
a right answer has shown. What it compares with it computes from its arguments, never from a stored number, so it
holds under any dataset and any seed.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepfm_helpers.grading import Untouched, Wrong, call, calls, compare, is_stub, judge, kind


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


def _listed(value: object) -> list:
    """The items of an answer; none if it has no items."""
    return list(value) if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) else []


def _product(matrices: Sequence[np.ndarray]) -> np.ndarray:
    """The product of the matrices, or nothing that could be mistaken for it if they do not fit."""
    fit = all(a.shape[1] == b.shape[0] for a, b in zip(matrices, matrices[1:], strict=False))
    return reduce(np.matmul, matrices) if fit else np.empty(0)


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
        [(np.array(ages),) for ages in ([30], [18], [17, 25, 60], [49, 50, 56], range(2, 100))],
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
    # users 3 and 4 have one row each: user 4 the last of the file, user 1 the latest
    drawn = [
        pd.DataFrame(
            {
                "uid": [2, 1, 1, 3, 2, 1, 2, 1, 2, 4],
                "timestamp": [0, 1, 2, 3, 4, 9, 5, 6, 7, 8],
                "rating": 3,
            }
        )
    ]
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


# 5 The deep part


@exercise(
    "5.1",
    "One ReLU sees a weighted sum of a, b and c and a constant. It has to tell a row of zeros from all the others.",
    "Turn the question round: what is 1 on the row of zeros and 0 on the others? Subtract it from 1.",
)
def one_bend(network: Sequence) -> str:
    """`(weights, bias, slope, constant)` of constant + slope · relu(weights · (a, b, c) + bias), the OR of three."""
    if len(_listed(network)) != 4 or np.shape(network[0]) != (3,):
        raise Wrong(
            "Expected are four things: three weights, the bias inside, the slope and the constant outside."
        )
    weights, bias, slope, constant = network
    rows = sorted(product((0, 1), repeat=3), key=sum)
    values = np.array([constant + slope * max(0.0, float(np.dot(weights, row)) + bias) for row in rows])
    mistakes = {
        "This counts how many things are right; an evening is good as soon as one of them is.": sum,
        "This is the other way round: it is 1 on the row of zeros.": lambda row: 1 - max(row),
        "This is good only if all three things are right.": min,
    }
    for row, value in zip(rows, values, strict=True):
        if not np.isclose(value, max(row)):
            fit = [why for why, wrong in mistakes.items() if np.allclose(values, [wrong(r) for r in rows])]
            raise Wrong(fit[0] if fit else f"The network gives {value:g} there.", f"a, b, c = {row}")
    return "One bend says exactly what all pairs together miss by an eighth."


@exercise(
    "5.2",
    "Write out two layers: (x W₁ + b₁) W₂ + b₂, and multiply.",
    "The matrices are multiplied in the order in which a row meets them; each bias goes through all later matrices.",
)
def one_layer(collapse: Callable) -> str:
    """`collapse(W, b)`: the one matrix and the one bias of a list of layers without ReLU."""
    dice = _dice()
    for widths in ((1, 1, 1), (2, 2, 2), (3, 5, 4, 1), (4, 4, 4, 4, 4)):
        W = [dice.integers(-2, 3, shape).astype(float) for shape in zip(widths[:-1], widths[1:], strict=True)]
        b = [dice.integers(-2, 3, n).astype(float) for n in widths[1:]]
        found = _listed(call(collapse, W, b))
        example = f"layers of the widths {' → '.join(map(str, widths))}"
        if len(found) != 2:
            raise Wrong("Expected are two arrays: a matrix and a bias.", example)

        def through(x: np.ndarray, W=W, b=b) -> np.ndarray:
            for matrix, bias in zip(W, b, strict=True):
                x = x @ matrix + bias
            return x

        bias = through(np.zeros((1, widths[0])))[0]
        matrix = through(np.eye(widths[0])) - bias
        judge(found[0], matrix, {"The order of the matrices is reversed.": _product(W[::-1])}, example)
        judge(
            found[1],
            bias,
            {
                "This is the last bias; the earlier ones go through the matrices behind them.": b[-1],
                "Every bias has to go through all matrices behind it.": sum(b)
                if len(set(widths)) == 1
                else bias,
            },
            example,
        )
    return "Without a bend, any number of layers is one layer."


@exercise(
    "5.3",
    "Read the printed errors: is the one of both parts nearer to that of the pairs or to that of the network?",
    "Subtract the error of both together from each of the two, and compare the sizes of the differences.",
)
def nearer_part(nearer: Mapping, together: Mapping, error: Mapping) -> str:
    """A table -> the part alone whose error comes nearest to that of both together."""
    tables = {table for table, _ in error}
    if is_stub(together):
        raise Untouched
    for answer in (together, nearer):
        if not isinstance(answer, Mapping) or answer.keys() != tables:
            raise Wrong(f"Expected are two dicts with a value for each of: {', '.join(sorted(tables))}.")
    for table, both in together.items():
        parts = {part: abs(alone - both) for (name, part), alone in error.items() if name == table}
        if nearer[table] not in parts:
            raise Wrong(f"A part is one of: {', '.join(parts)}.", table)
        if nearer[table] != min(parts, key=parts.get):
            raise Wrong("The error of the other part is nearer.", table)
    return "That is what this run says. Where the model lies between the two parts, another run may say otherwise."


# 6 DeepFM


def _counted(fields: Sequence, k: int, hidden: Sequence[int]) -> tuple[int, int]:
    from deepfm_helpers import anatomy, models

    model = models.deep_fm_model(features=fields, k=k, dnn_dim=hidden)[-1]
    vectors = sum(anatomy.tables(model, field).second.count_params() for field in fields)
    return model.count_params(), vectors


@exercise(
    "6.1",
    "Which parts of the model hold numbers whose count depends on k?",
    "Each row of each table has a vector, and the first layer of the network has an input for every number of the "
    "vectors of a row.",
)
def growth(grown: int, fields: Sequence, hidden: Sequence[int], k: tuple[int, int] = (8, 16)) -> str:
    """The number of parameters by which the model grows from the one k to the other."""
    (before, vectors), (after, more_vectors) = (_counted(fields, size, hidden) for size in k)
    first_layer = (k[1] - k[0]) * len(fields) * hidden[0]
    judge(
        grown,
        after - before,
        {
            "These are the vectors; the first layer of the network grows as well.": more_vectors - vectors,
            "This is the first layer; the vectors grow as well.": first_layer,
            "These are all parameters of the larger model, not the growth.": after,
        },
        within=1e-12,
    )
    return "The vectors grow with k, and in the network the first layer does; nothing else."


@exercise(
    "6.2",
    "Everything is there as before, and one thing twice.",
    "What the two parts shared were the vectors: count the numbers in them.",
)
def without_sharing(parameters: int, fields: Sequence, k: int, hidden: Sequence[int]) -> str:
    """The number of parameters of the model whose network has vectors of its own."""
    shared, vectors = _counted(fields, k, hidden)
    judge(
        parameters,
        shared + vectors,
        {
            "This is the model with shared vectors.": shared,
            "The vectors are doubled, not the whole model.": 2 * shared,
            "This is what is added; the rest of the model is there as well.": vectors,
        },
        within=1e-12,
    )
    return "A second set of vectors is the whole price, and a change in one set no longer reaches the other part."


@exercise(
    "6.3",
    "Write down the sign of each pair as the product of two signs, and try all choices.",
    "Multiply the signs of the three pairs of three fields: every sign occurs twice in the product.",
)
def flipping(signs: Callable) -> str:
    """`signs(n)`: n signs, 1 or -1, that change the sign of every pair; the text "impossible" where there are none."""
    for (n,), found in calls(signs, [(2,), (3,), (4,)]):
        example = f"{n} fields"
        flipped = [
            choice
            for choice in product((1, -1), repeat=n)
            if all(a * b == -1 for a, b in combinations(choice, 2))
        ]
        if isinstance(found, str):
            if found != "impossible":
                raise Wrong('The only text that counts as an answer is "impossible".', example)
            if flipped:
                raise Wrong("It is possible here.", example)
            continue
        if np.shape(found) != (n,) or not set(_listed(found)) <= {1, -1}:
            raise Wrong(f"Expected are {n} signs, each 1 or -1.", example)
        kept = [(i, j) for i, j in combinations(range(n), 2) if found[i] * found[j] != -1]
        if kept:
            raise Wrong(
                f"The pair of the fields {kept[0][0] + 1} and {kept[0][1] + 1} keeps its sign.", example
            )
    return (
        "Along one axis two fields can repel each other, and three cannot. What if the vectors had a plane?"
    )


# 7 Training


@exercise(
    "7.1",
    "In one step each of the three weights of the row moves by p, and each vector by p times the other one.",
    "Multiply out (v_user + p v_film) · (v_film + p v_user) and sort by powers of p.",
)
def quadratic(coefficients: Callable) -> str:
    """`coefficients(v_user, v_film, error)`: a, b, c of the score after a step less the rating, a p² + b p + c."""

    def after(p: float, v_user: np.ndarray, v_film: np.ndarray, error: float) -> float:
        return error + 3 * p + (v_user + p * v_film) @ (v_film + p * v_user) - v_user @ v_film

    def right(*row) -> np.ndarray:
        at = {p: after(p, *row) for p in (-1, 0, 1)}
        return np.array([(at[1] + at[-1]) / 2 - at[0], (at[1] - at[-1]) / 2, at[0]])

    dice = _dice()
    cases = [(*dice.integers(-2, 3, (2, k)).astype(float), -float(dice.integers(1, 4))) for k in (1, 2, 2, 5)]
    compare(
        coefficients,
        cases,
        right,
        {
            "The three weights of the row move as well: the constant, the user's and the film's.": lambda *row: (
                right(*row) - np.array([0, 3, 0])
            ),
            "The order is a, b, c: the coefficient of p² comes first.": lambda *row: right(*row)[::-1],
            "The step moves both vectors, so their product has a term with p².": lambda *row: (
                right(*row) * np.array([0, 1, 1])
            ),
        },
    )
    return "The score after a step is a quadratic in the step, so one row can be put right at once."


@exercise(
    "7.2",
    "A difference of two standard errors: set the difference of the mean squared errors to twice its standard error.",
    "The standard error is the root of a variance divided by the rows. On the same rows it is the variance of the "
    "differences, on rows of their own the sum of both variances.",
)
def rows_needed(needed: Callable) -> str:
    """`needed(a, b, same_rows)`: rows for a difference of 0.001 stars to be two standard errors, from the squared
    errors of two models on the same rows."""

    def right(a: np.ndarray, b: np.ndarray, same_rows: bool) -> float:
        spread = np.std(a - b, ddof=1) if same_rows else np.hypot(np.std(a, ddof=1), np.std(b, ddof=1))
        difference = 0.001 * 2 * np.sqrt(np.mean([a, b]))  # of the mean squared errors
        return float((2 * spread / difference) ** 2)

    dice = _dice()
    cases = []
    for n in (3, 400):
        common, own = dice.normal(size=n), 0.3 * dice.normal(size=(2, n))
        squares = (common + own).round(2) ** 2
        cases += [(*squares, same) for same in (False, True)]
    compare(
        needed,
        cases,
        right,
        {
            "This treats both cases alike; on the same rows the two models err together.": lambda a, b, _: (
                right(a, b, False)
            ),
            "This treats both cases alike; on rows of their own the variances add up.": lambda a, b, _: right(
                a, b, True
            ),
            "This asks for one standard error instead of two.": lambda a, b, same: right(a, b, same) / 4,
            "A difference of the mean squared error is about twice the RMSE times that of the RMSE.": (
                lambda a, b, same: right(a, b, same) * 4 * np.mean([a, b])
            ),
        },
        within=0.03,
    )
    return "Judged on the same rows, models that err together need far fewer of them."


def _largest_of(n: int) -> float:
    """Mean of the largest of n draws from a standard normal distribution."""
    from scipy import integrate, stats

    return integrate.quad(lambda x: x * n * stats.norm.pdf(x) * stats.norm.cdf(x) ** (n - 1), -8, 8)[0]


@exercise(
    "7.3",
    "Draw the validation errors of all models many times, and keep the lowest of each draw.",
    "What the best model reports is the minimum; compare the mean of the minima with the true error.",
)
def optimism(gap: Callable) -> str:
    """`gap(n_models, sd)`: by how many stars the best of equally good models reports too little, on average."""
    compare(
        gap,
        [(2, 0.1), (10, 0.01), (100, 0.006)],
        lambda n, sd: sd * _largest_of(n),
        {
            "The sign: what is reported is too small, and the gap is positive.": lambda n, sd: (
                -sd * _largest_of(n)
            ),
            "This is the noise of one model; the best of many is luckier.": lambda n, sd: sd,
            "This is a bound on the gap, not the gap.": lambda n, sd: sd * np.sqrt(2 * np.log(n)),
        },
        within=0.05,
    )
    return "The best of many reports too little, and the more there are, the more it does."


# 8 Reading the log


@exercise(
    "8.1",
    "`fit` takes the last rows as they stand. So the rows have to stand in another order.",
    "pandas' `sample(frac=1)` gives all rows in a random order.",
)
def in_random_order(reordered: Callable) -> str:
    """`reordered(rows)`: the same rows, in an order in which the last tenth is a random tenth."""
    dice = _dice()
    for n_users in (20, 100):
        users = np.repeat(np.arange(1, n_users + 1), 20)
        rows = pd.DataFrame({"uid": users, "mid": dice.permutation(len(users)), "rating": users % 5 + 1})
        found = call(reordered, rows)
        example = f"{len(rows)} rows, sorted by user"
        if not isinstance(found, pd.DataFrame) or list(found.columns) != list(rows.columns):
            raise Wrong("Expected is a frame with the same columns.", example)
        if len(found) != len(rows):
            raise Wrong(f"Of {len(rows)} rows {len(found)} are left.", example)
        if (
            not found.sort_values("mid")
            .reset_index(drop=True)
            .equals(rows.sort_values("mid").reset_index(drop=True))
        ):
            raise Wrong("Users, films and ratings no longer belong together: shuffle whole rows.", example)
        tail = len(rows) // 10
        known = found.uid[-tail:].isin(found.uid[:-tail].unique()).mean()
        if known < 0.95:
            raise Wrong(f"In the last tenth, {known:.0%} of the rows are of users with other rows.", example)
    return "The same rows in another order, and nearly everybody in the tail is known."


@exercise(
    "8.2",
    "Compare three shares of known users: of the sorted tail, of the latest tenth, of random rows.",
    "Which of the two differences from the latest tenth is smaller?",
)
def nearer_split(nearer: str, shares: Mapping[str, float]) -> str:
    """The split, of the two others, whose share of known users is nearest to that of the latest tenth."""
    others = {
        name: abs(share - shares["latest tenth"]) for name, share in shares.items() if name != "latest tenth"
    }
    if nearer not in others:
        raise Wrong(f"Expected is one of the texts {', '.join(repr(name) for name in others)}.")
    if nearer != min(others, key=others.get):
        raise Wrong("The share of known users is nearer to that of the other split.")
    return "Say which exam a number belongs to: these three ask for different things."


# 9 Contributions


@exercise(
    "9.1",
    "A pair term is a product of two vectors; what happens to it when both are multiplied by c?",
    "What the weight loses, the product gains: their product must not change.",
)
def compensation(factor: Callable) -> str:
    """`factor(c)`: what the second order's weight is multiplied by, if every vector is multiplied by c."""

    def right(c: float) -> float:
        u, v = _dice().normal(size=(2, 4))
        return float((u @ v) / ((c * u) @ (c * v)))

    compare(
        factor,
        [(2.0,), (0.5,), (-1.0,), (3.0,)],
        right,
        {
            "Both vectors of a pair are multiplied, not one.": lambda c: 1 / c,
            "This makes the change larger instead of undoing it.": lambda c: c**2,
        },
    )
    return "The factor is positive for every c, so no rescaling changes the sign of this weight."


@exercise(
    "9.2",
    "Shuffled among all rows, a part has in each row the value of a random row.",
    "The mean of a square is the square of the mean plus the variance.",
)
def price_of_shuffling(extra: Callable) -> str:
    """`extra(rest, part, y)`: by how much shuffling the part raises the mean squared error, on average over all
    orders, beyond what setting it to its mean does; `rest` is the score without the part."""

    def right(rest: np.ndarray, part: np.ndarray, y: np.ndarray) -> float:
        shuffled = np.mean([(y - rest - value) ** 2 for value in part])
        return float(shuffled - np.mean((y - rest - part.mean()) ** 2))

    dice = _dice()
    compare(
        extra,
        [tuple(dice.normal(size=(3, n)).round(1)) for n in (2, 5, 50)],
        right,
        {
            "This is the standard deviation of the part; squared errors need its square.": lambda _, part, __: (
                float(part.std())
            ),
            "This is twice the variance; only the shuffled part varies, not the rest.": lambda _, part, __: (
                float(2 * part.var())
            ),
            "The variance over all rows divides by their number.": lambda _, part, __: float(
                part.var(ddof=1)
            ),
        },
    )
    return "Shuffling costs the variance of the part on top, whatever the part says."


@exercise(
    "9.3",
    "There are two orders: the first order arrives before the second, or after it.",
    "In each order its contribution is the value of all that has arrived, less the value before it came.",
)
def two_orders(value: Callable) -> str:
    """`value(first, second, both)`: the Shapley value of the first order, from the values of the three sets."""

    def right(first: float, second: float, both: float) -> float:
        values = {"": 0.0, "f": first, "s": second, "fs": both}
        gains = []
        for order in ("fs", "sf"):
            before = order[: order.index("f")]
            gains.append(values["".join(sorted(before + "f"))] - values[before])
        return float(np.mean(gains))

    compare(
        value,
        [(1.0, 1.0, 1.0), (0.3, 0.2, 0.4), (0.1, 0.5, 0.5)],
        right,
        {
            "This is what it brings alone; the order in which it comes second counts as well.": lambda f, s, b: (
                f
            ),
            "This is what it brings on top of the second; the other order counts as well.": lambda f, s, b: (
                b - s
            ),
            "Half of both is the answer only if both parts bring the same.": lambda f, s, b: b / 2,
        },
    )
    return "The value is the mean of what the part brings alone and of what it brings on top of the other."


# 10 Repairs


def _detectable(n: int, spread: float, power: float = 0.8) -> float:
    from scipy import stats

    seen = stats.t.ppf(0.975, n - 1) + (stats.t.ppf(power, n - 1) if power else 0.0)
    return seen * spread / np.sqrt(n)


def _enough(difference: float, spread: float, **options: float) -> int:
    return next(n for n in range(2, 100_000) if _detectable(n, spread, **options) <= difference)


@exercise(
    "10.1",
    "The t-quantiles depend on the number of runs, so try one number after the other.",
    "The sum of both quantiles, times the spread, divided by the root of the number of runs, has to reach the "
    "difference.",
)
def enough_runs(runs: Callable) -> str:
    """`runs(difference, spread)`: the smallest number of runs that see the difference in four cases out of five."""
    compare(
        runs,
        [(0.002, 0.002), (0.001, 0.002), (0.0005, 0.002)],
        _enough,
        {
            "This finds the width of the interval; four times out of five needs the second quantile as well.": (
                lambda difference, spread: _enough(difference, spread, power=0.0)
            ),
            "These are quantiles of the normal distribution; with so few runs the t-quantiles are larger.": (
                lambda difference, spread: int(np.ceil(((1.959964 + 0.841621) * spread / difference) ** 2))
            ),
            "One run fewer than that sees it already.": lambda d, s: _enough(d, s) + 1,
            "That is one run too few.": lambda d, s: _enough(d, s) - 1,
        },
        within=1e-12,
    )
    return "Half the difference takes about four times as many runs."


@exercise(
    "10.2",
    "Look for the lowest number in the one column, and for the highest in the other.",
    "What helps most alone lowers the error most; what is missed most raises it most when it is left out.",
)
def most_alone_most_missed(names: Sequence[str], added: pd.Series, left_out: pd.Series) -> str:
    """Two names: the change that helps most when it is added alone, and the one that is missed most."""
    if len(_listed(names)) != 2 or not set(names) <= set(added.index):
        raise Wrong("Expected are the names of two rows of the table.")
    if names[0] != added.idxmin():
        raise Wrong("Another change lowers the error more when it is added alone.", str(names[0]))
    if names[1] != left_out.idxmax():
        raise Wrong("Leaving out another change raises the error more.", str(names[1]))
    return "What helps most alone " + ("is" if names[0] == names[1] else "is not") + " what is missed most."


@exercise(
    "10.3",
    "The variances of both means add up: each is the variance of three runs, divided by three.",
    "The half width is the 97.5% quantile of t with four degrees of freedom, times the standard error.",
)
def unpaired(half_width: Callable) -> str:
    """`half_width(old, new)`: half the width of the unpaired 95% interval of the difference of two means."""
    from scipy import stats

    def right(old: np.ndarray, new: np.ndarray) -> float:
        interval = stats.ttest_ind(new, old).confidence_interval()
        return float(interval.high - interval.low) / 2

    def paired(old: np.ndarray, new: np.ndarray) -> float:
        interval = stats.ttest_rel(new, old).confidence_interval()
        return float(interval.high - interval.low) / 2

    dice = _dice()
    cases = []
    for n in (3, 3, 5):
        common = dice.normal(size=n)
        cases.append(tuple((common + 0.2 * dice.normal(size=(2, n))).round(2)))
    compare(
        half_width,
        cases,
        right,
        {
            "This is the paired interval.": paired,
            "There are n + n − 2 degrees of freedom, not n − 1.": lambda old, new: (
                right(old, new) * stats.t.ppf(0.975, len(old) - 1) / stats.t.ppf(0.975, 2 * len(old) - 2)
            ),
            "This is the whole width.": lambda old, new: 2 * right(old, new),
            "This uses 1.96, which is right for very many runs.": lambda old, new: (
                right(old, new) * 1.959964 / stats.t.ppf(0.975, 2 * len(old) - 2)
            ),
        },
        within=1e-4,
    )
    return "Without pairs, the luck that both share stays in the interval."


# 11 How far it goes


@exercise(
    "11.1",
    "Take the differences split by split first.",
    "The interval is their mean, plus and minus the t-quantile times their standard deviation over the root of their "
    "number.",
)
def paired_interval(interval: Callable) -> str:
    """`interval(new, old)`: the lower and the upper end of the paired 95% interval of the difference new less old."""
    from scipy import stats

    def ends(test: Callable, new: np.ndarray, old: np.ndarray) -> np.ndarray:
        found = test(new, old).confidence_interval()
        return np.array([found.low, found.high])

    dice = _dice()
    cases = []
    for n in (3, 5, 10):
        common = dice.normal(size=n)
        cases.append(tuple((common + 0.2 * dice.normal(size=(2, n))).round(2)))
    compare(
        interval,
        cases,
        lambda new, old: ends(stats.ttest_rel, new, old),
        {
            "This is old less new.": lambda new, old: ends(stats.ttest_rel, old, new),
            "This is the unpaired interval.": lambda new, old: ends(stats.ttest_ind, new, old),
            "The upper end comes first here.": lambda new, old: ends(stats.ttest_rel, new, old)[::-1],
            "The standard deviation has to be divided by the root of the number of splits.": lambda new, old: (
                np.mean(new - old)
                + np.sqrt(len(new)) * (ends(stats.ttest_rel, new, old) - np.mean(new - old))
            ),
        },
        within=1e-4,
    )
    return (
        "An interval that excludes 0 says that the network is worth something beyond the luck of the splits."
    )


@exercise(
    "11.2",
    "Take the mean over the models first; how far is each model from it, row by row?",
    "Square the distances, and take the mean over models and rows.",
)
def disagreement(spread: Callable) -> str:
    """`spread(predictions)`: the mean square distance from the mean prediction; one row of predictions a model."""

    def right(predictions: np.ndarray) -> float:
        y = _dice().normal(size=predictions.shape[1])  # true for any ratings
        errors = ((predictions - y) ** 2).mean()
        return float(errors - ((predictions.mean(axis=0) - y) ** 2).mean())

    dice = _dice()
    compare(
        spread,
        [(dice.normal(size=shape).round(2),) for shape in ((2, 1), (2, 4), (5, 30))],
        right,
        {
            "This divides by one model fewer; the mean is over all of them.": lambda p: float(
                p.var(axis=0, ddof=1).mean()
            ),
            "This is its root.": lambda p: float(np.sqrt(right(p))),
            "This measures how the predictions of a model differ from row to row.": lambda p: float(
                p.var(axis=1).mean()
            ),
        },
    )
    return "The error of a mean is the mean error less this, so models that disagree help each other."


@exercise(
    "11.3",
    "The history of a user is built from the user's training rows. There are none.",
    "For the first field think of the time since a first rating that is happening now.",
)
def told_about_strangers(told: Sequence, first_bin: int, directions: np.ndarray) -> str:
    """Two numbers: the bin of `since_first`, and the largest direction of `rated`, of a person without rows."""
    if len(_listed(told)) != 2:
        raise Wrong("Expected are two numbers.")
    judge(
        told[0],
        first_bin,
        {"Bins are counted from 1.": first_bin - 1},
        "the bin of since_first",
        within=1e-12,
    )
    judge(float(told[1]) + 1, float(np.abs(directions).max()) + 1, {}, "the directions of rated", within=1e-3)
    return "The first rating counts as just begun, and a history of nothing says nothing."


# 12 From a score to a list


@exercise(
    "12.1",
    "Every film gets something added, more of it the more often it was rated.",
    "A film without ratings gets β log(1 + 0) = 0.",
)
def blended(blend: Callable) -> str:
    """`blend(scores, counts, beta)`: scores, users by films, with β log(1 + c) added for each film."""

    def right(scores: np.ndarray, counts: np.ndarray, beta: float) -> np.ndarray:
        return np.array(
            [[s + beta * np.log(1 + c) for s, c in zip(row, counts, strict=True)] for row in scores]
        )

    dice = _dice()
    compare(
        blend,
        [
            (dice.normal(size=(u, f)).round(1), dice.integers(0, 9, f), beta)
            for u, f, beta in ((1, 2, 1.0), (2, 3, 0.0), (3, 4, 2.0))
        ],
        right,
        {
            "This is the logarithm to the base 10.": lambda s, c, b: s + b * np.log10(1 + c),
            "The counts themselves are added here, without the logarithm.": lambda s, c, b: s + b * c,
            "The scores are multiplied here; popularity is to be added.": lambda s, c, b: s * b * np.log1p(c),
        },
    )
    return "With β = 0 the scores rule, with a very large β the counts do."


@exercise(
    "12.2",
    "Every film on the list is equally likely to be any of the films that are left.",
    "A list as long as what is left holds everything.",
)
def recall_by_chance(expected: Callable) -> str:
    """`expected(n, m)`: the recall of a random list of n of m films that are left, on average."""

    def right(n: int, m: int) -> float:
        lists = list(combinations(range(m), min(n, m)))
        return float(np.mean([0 in one for one in lists]))

    compare(
        expected,
        [(1, 4), (2, 5), (10, 12), (3, 2)],
        right,
        {
            "A list cannot hold more films than are left.": lambda n, m: n / m,
            "This is the chance of the first place alone.": lambda n, m: 1 / m,
            "This is the other way round.": lambda n, m: m / n,
        },
    )
    return "A random list of n finds n of m liked films in the long run."


@exercise(
    "12.3",
    "Keep the rows whose timestamp lies less than so many days before the last one. Timestamps are in seconds.",
    "`value_counts` counts each film that has rows; `reindex(films, fill_value=0)` gives the others a 0.",
)
def late_counts(counts: Callable) -> str:
    """`counts(rows, films, days)`: how many ratings each of the films has in the last days of the rows."""

    def right(rows: pd.DataFrame, films: np.ndarray, days: int) -> np.ndarray:
        end = rows.timestamp.max() - days * 86400
        return np.array([sum((rows.mid == film) & (rows.timestamp > end)) for film in films])

    def counted(rows: pd.DataFrame) -> pd.Series:
        return rows.mid.value_counts()

    dice = _dice()
    cases = []
    for n, n_films, days in ((4, 2, 1), (20, 6, 2), (400, 60, 30)):
        hours = np.r_[0, dice.integers(24, 72 * days, n - 1)] + 0.5 * (np.arange(n) > 0)
        rows = pd.DataFrame({"mid": dice.integers(1, n_films + 1, n), "rating": dice.integers(1, 6, n)})
        late = hours < 24 * days
        rows.loc[late & (rows.mid == n_films), "mid"] = 1  # a film that has no rows in the last days
        cases.append(
            (
                rows.assign(timestamp=(900_000_000 - 3600 * hours).astype(int)).sample(
                    frac=1, random_state=n
                ),
                np.arange(1, n_films + 1),
                days,
            )
        )
    compare(
        counts,
        cases,
        right,
        {
            "These are counts of all rows; asked are those of the last days.": lambda rows, films, _: (
                counted(rows).reindex(films, fill_value=0).to_numpy()
            ),
            "A timestamp is in seconds, and a day has 24 · 3600 of them.": lambda rows, films, days: (
                counted(rows[rows.timestamp > rows.timestamp.max() - days])
                .reindex(films, fill_value=0)
                .to_numpy()
            ),
            "These are the first days; the last ones end with the latest timestamp.": lambda rows, films, days: (
                counted(rows[rows.timestamp < rows.timestamp.min() + days * 86400])
                .reindex(films, fill_value=0)
                .to_numpy()
            ),
            "A film without a rating in the last days gets NaN here; it has 0 of them.": lambda rows, films, days: (
                counted(rows[rows.timestamp > rows.timestamp.max() - days * 86400]).reindex(films).to_numpy()
            ),
        },
    )
    return "One count for each film: sorted by these, the films are the list of the last days."


@exercise(
    "12.4",
    "Who are the hardest competitors of a popular list?",
    "Divide the recall against competitors drawn by popularity by that against evenly drawn ones.",
)
def lost_against_popular(lost: float, even: float, weighted: float) -> str:
    """The share of its recall that the popular list loses against competitors drawn by popularity."""
    if is_stub(weighted):
        raise Untouched
    judge(
        lost,
        1 - weighted / even,
        {
            "This is the share that is left.": weighted / even,
            "This is a number of percent; a share lies between 0 and 1.": 100 * (1 - weighted / even),
            "This is a difference of recalls; divide it by the recall against evenly drawn films.": even
            - weighted,
        },
        within=0.02,
    )
    return "A test with drawn competitors says as much about the draw as about the ranker."


# 13 Many runs


@exercise(
    "13.1",
    "Unpaired, the variances of the two means add up. Paired, take the differences first.",
    "The variance of a mean is the variance of the values, divided by their number.",
)
def two_standard_errors(errors: Callable) -> str:
    """`errors(a, b)`: the standard error of the difference of two means over seeds, unpaired and paired."""
    from scipy import stats

    def right(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.array([np.hypot(stats.sem(a), stats.sem(b)), stats.sem(a - b)])

    dice = _dice()
    cases = []
    for n in (2, 4, 10):
        common = dice.normal(size=n)
        cases.append(tuple((common + 0.3 * dice.normal(size=(2, n))).round(2)))
    compare(
        errors,
        cases,
        right,
        {
            "The order is unpaired, then paired.": lambda a, b: right(a, b)[::-1],
            "These are standard deviations; a mean over n values has less, by the root of n.": lambda a, b: (
                right(a, b) * np.sqrt(len(a))
            ),
            "Over few seeds the standard deviation divides by n − 1.": lambda a, b: (
                right(a, b) * np.sqrt(1 - 1 / len(a))
            ),
        },
    )
    return "The pairs take out what both lengths owe to the same seed."


@exercise(
    "13.2",
    "A mean over n seeds has noise σ/√n. How much does the best of ten gain from such noise, on average?",
    "The gain is proportional to the noise, so the number of seeds grows with its square; round up.",
)
def seeds_for_ten(seeds: Callable) -> str:
    """`seeds(settings, noise, limit)`: how many seeds bring the average gain of the best of equal settings below a
    limit."""

    def enough(settings: int, noise: float, limit: float) -> int:
        return int(np.ceil((noise * _largest_of(settings) / limit) ** 2))

    compare(
        seeds,
        [(10, 0.002, 0.001), (2, 0.002, 0.0005), (50, 0.01, 0.002)],
        enough,
        {
            "This uses the bound, which is more than the average.": lambda settings, noise, limit: int(
                np.ceil((noise / limit) ** 2 * 2 * np.log(settings))
            ),
            "The noise of a mean falls with the root of the number of seeds.": lambda settings, noise, limit: (
                int(np.ceil(noise * _largest_of(settings) / limit))
            ),
            "One seed fewer leaves the average above the limit: round up.": lambda settings, noise, limit: (
                enough(settings, noise, limit) - 1
            ),
        },
        within=1e-12,
    )
    return "The more settings are tried, the more seeds each of them needs."


@exercise(
    "13.3",
    "A grid has every combination of its values; the drawn settings come on top.",
    "Every setting, from the grid or drawn, is run with every seed.",
)
def runs_of_a_sweep(runs: Callable) -> str:
    """`runs(grid, drawn, seeds)`: the runs of a sweep, from the numbers of values on its grid, of drawn settings, of
    seeds."""
    compare(
        runs,
        [((2,), 0, 1), ((2, 2), 1, 2), ((3, 3), 20, 2)],
        lambda grid, drawn, seeds: len([*product(*(range(n) for n in grid)), *range(drawn)]) * seeds,
        {
            "The drawn settings come on top of the grid; they are not combined with it.": lambda grid, drawn, seeds: (
                int(np.prod(grid)) * max(drawn, 1) * seeds
            ),
            "A grid combines its values: their numbers are multiplied.": lambda grid, drawn, seeds: (
                (sum(grid) + drawn) * seeds
            ),
            "Every setting is run with every seed, the drawn ones too.": lambda grid, drawn, seeds: (
                int(np.prod(grid)) * seeds + drawn
            ),
        },
        within=1e-12,
    )
    return "Count the runs before you start them."


# 14 Recovery


@exercise(
    "14.1",
    "The score changes by the dot product of the shift and the film's vector; the weight has to take that back.",
    "A dot product is made of lengths and of an angle, and a rotation of both vectors keeps all of them.",
)
def undone_and_turned(found: Sequence, user: Sequence, film: Sequence, shift: Sequence) -> str:
    """Two numbers: what is added to the film's weight, so that no score changes if `shift` is added to all users'
    vectors, and the dot product of the two vectors after a turn by a right angle."""
    if len(_listed(found)) != 2:
        raise Wrong("Expected are two numbers: what is added to the weight, and the dot product.")
    user, film, shift = (np.asarray(vector, dtype=float) for vector in (user, film, shift))
    quarter = np.array([[0, 1], [-1, 0]])  # (x, y) @ quarter = (-y, x)
    judge(
        found[0],
        -float(shift @ film),
        {
            "By this much every score has risen; the weight has to take it back.": float(shift @ film),
            "The shift meets the vector of the film, not that of the user.": -float(shift @ user),
            "This is the new dot product; the weight takes back only what was added to it.": float(
                (user + shift) @ film
            ),
        },
        "the weight",
    )
    judge(
        found[1],
        float((user @ quarter) @ (film @ quarter)),
        {
            "These are the vectors with the shift; turned are those that were given.": float(
                (user + shift) @ film
            ),
            "Both vectors are turned, not one.": float((user @ quarter) @ film),
        },
        "the dot product",
    )
    return (
        "Neither change leaves a trace in any score, so no data can tell the vectors before from those after."
    )


@exercise(
    "14.2",
    "A mean of n ratings is off by the noise, divided by the root of n.",
    "Set that equal to the error wanted, and solve for n.",
)
def ratings_for_an_error(needed: Callable) -> str:
    """`needed(noise, wanted)`: how many ratings bring the standard deviation of a mean down to `wanted` stars."""
    compare(
        needed,
        [(0.5, 0.25), (0.75, 0.125), (0.5, 0.03125)],  # exact in binary, so rounding up changes nothing
        lambda noise, wanted: (noise / wanted) ** 2,
        {
            "The error falls with the root of the number of ratings, not with the number.": lambda noise, wanted: (
                noise / wanted
            ),
            "This is upside down: more noise takes more ratings.": lambda noise, wanted: (
                (wanted / noise) ** 2
            ),
            "The number of ratings grows with the square of the noise as well.": lambda noise, wanted: (
                noise / wanted**2
            ),
        },
    )
    return "Half the error takes four times as many ratings."


@exercise(
    "14.3",
    "The noise of a rating is what it differs by from its score: before rounding, and after it.",
    "For the slope, fit a straight line to the rounded and cut stars over the scores: `np.polyfit(..., 1)`.",
)
def whole_stars(scale: Callable) -> str:
    """`scale(score, stars)`: by how much rounding raises the variance of the noise, and the slope of the rounded stars,
    cut off at 1 and 5, over the score."""

    def right(score: np.ndarray, stars: np.ndarray) -> np.ndarray:
        rounded = np.round(stars)
        more = np.var(rounded - score) - np.var(stars - score)
        cut = np.minimum(np.maximum(rounded, 1), 5)
        return np.array([more, np.cov(score, cut)[0, 1] / np.var(score, ddof=1)])

    def slope(score: np.ndarray, stars: np.ndarray) -> float:
        return float(np.polyfit(score, stars, 1)[0])

    dice = _dice()
    score = dice.normal(3.5, 1.0, 2000)
    cases = [  # the first has a score of its own for each mistake to show
        (np.array([1.2, 3.4, 4.6]), np.array([0.4, 3.9, 5.7])),
        (score, score + dice.normal(0, 0.5, 2000)),
    ]
    compare(
        scale,
        cases,
        right,
        {
            "The first is the whole variance of the noise after rounding; asked is by how much it has grown.": (
                lambda score, stars: np.array([np.var(np.rint(stars) - score), right(score, stars)[1]])
            ),
            "The first is the variance of what rounding changes; its covariance with the noise counts as well.": (
                lambda score, stars: np.array([np.var(np.rint(stars) - stars), right(score, stars)[1]])
            ),
            "The slope is that of stars that have not been cut off at 1 and 5.": lambda score, stars: (
                np.array([right(score, stars)[0], slope(score, np.rint(stars))])
            ),
            "The slope is the rise of the score over the stars; asked is the rise of the stars over the score.": (
                lambda score, stars: np.array(
                    [right(score, stars)[0], slope(np.rint(stars).clip(1, 5), score)]
                )
            ),
            "The variance of the noise is asked for before the stars are cut off.": lambda score, stars: (
                np.array(
                    [
                        np.var(np.rint(stars).clip(1, 5) - score) - np.var(stars - score),
                        right(score, stars)[1],
                    ]
                )
            ),
        },
        within=1e-3,
    )
    return "Whole stars are noisier stars; stars that end at 1 and 5 are flatter ones."


# 15 The museum


@exercise(
    "15.1",
    "Draw the table of all differences: three ratings against three predictions make nine squares.",
    "For the constant, all three rows of the table are alike.",
)
def broadcast_errors(errors: Sequence, ratings: Sequence, constant: float) -> str:
    """Two numbers: the broken mean squared error of perfect predictions, and that of a constant."""
    if len(_listed(errors)) != 2:
        raise Wrong("Expected are two numbers: for the perfect predictions, and for the constant.")
    y = np.asarray(ratings, dtype=float)
    for error, predictions, example in (
        (errors[0], y, "perfect predictions"),
        (errors[1], np.full(len(y), float(constant)), f"the constant {constant:g}"),
    ):
        squares = [(rating - prediction) ** 2 for rating, prediction in product(y, predictions)]
        judge(
            error,
            float(np.mean(squares)),
            {
                "This compares each prediction with its own rating; the broken one compares it with every rating.": (
                    float(np.mean((y - predictions) ** 2))
                ),
                "This is the sum of the squares; asked is their mean.": float(np.sum(squares)),
                "There are as many squares as pairs of a rating and a prediction; divide by that number.": (
                    float(np.sum(squares) / len(y))
                ),
                "This is the root of the mean squared error.": float(np.sqrt(np.mean(squares))),
            },
            example,
        )
    return "By this measure all variation of the predictions counts as error, and a constant has none."


@exercise(
    "15.2",
    "Every term is a product of two vectors. What happens to it if both are multiplied by c?",
    "Without the ½ the sum is twice as large, so c² has to make it half as large.",
)
def shrunk_vectors(factor: float, vectors: np.ndarray) -> str:
    """The factor for all vectors of a row, so that the fast form without its ½ gives the sum of all pairs."""
    v = np.asarray(vectors, dtype=float)
    lost = float((v.sum(axis=0) ** 2).sum() - (v**2).sum())
    right = float(np.sqrt(_all_pairs(v) / lost))
    judge(
        factor,
        right,
        {
            "Every product holds two vectors, so with this factor it shrinks to a quarter.": right**2,
            "This makes the vectors longer; they have to shrink.": 1 / right,
            "This makes the products four times as large; they have to shrink.": 1 / right**2,
        },
        "the vectors of a row",
        within=0.01,
    )
    return "It is one factor for all rows, so training can find it, and no error tells that the ½ is missing."


@exercise(
    "15.3",
    "Every row gets the sum of the pairs of all rows in its batch.",
    "When is a sum over the rows of a batch the number of each row?",
)
def right_by_size(size: int, batch: int) -> str:
    """The number of rows in a batch for which a sum over the batch is the right one for every row."""
    if is_stub(size):
        raise Untouched
    if kind(size) != "a number" or size % 1 or size < 1:
        raise Wrong("Expected is a whole number of rows.")
    if size == batch:
        raise Wrong(
            "In such batches the model was trained; each row gets the pairs of all rows all the same."
        )
    of_rows = [_all_pairs(row) for row in _dice().normal(size=(min(int(size), 100), 4, 3))]
    if not np.allclose(of_rows, sum(of_rows)):
        raise Wrong("Each row gets the pairs of the other rows as well.", f"a batch of {size} rows")
    return "A test of this layer has to show it two rows that differ."


# 16 Clicks


def _sigmoid(s: float) -> float:
    return 1 / (1 + np.exp(-s))


@exercise(
    "16.1",
    "What goes into the last sigmoid is a sum of three probabilities. Which outputs can come out of it?",
    "For a click the best output is the highest one, sigmoid(3); for a row without a click the lowest, sigmoid(0).",
)
def floor_of_four_sigmoids(floor: Callable) -> str:
    """`floor(share)`: the lowest mean log-loss of a sigmoid of three sigmoids, where a share of the rows are clicks."""

    def mean(of_click: float, of_none: float) -> Callable:
        return lambda share: -share * np.log(of_click) - (1 - share) * np.log(of_none)

    highest, lowest = _sigmoid(3.0), _sigmoid(0.0)
    compare(
        floor,
        [(0.5,), (1.0,), (0.0,), (0.2,), (0.77,)],
        mean(highest, 1 - lowest),
        {
            "This is what the share itself costs. A model that knows every answer says different things for "
            "different rows.": lambda share: -sum(q * np.log(q) for q in (share, 1 - share) if q),
            "For a row without a click this takes the highest output; the lowest one is better there.": mean(
                highest, 1 - highest
            ),
            "This is the floor of two sigmoids; here three probabilities are added up before the last one.": mean(
                _sigmoid(1.0), 1 - lowest
            ),
            "This is in bits; the log-loss of this chapter has natural logarithms.": lambda share: (
                mean(highest, 1 - lowest)(share) / np.log(2)
            ),
        },
    )
    return "Below this no such model comes, however much it knows."


@exercise(
    "16.2",
    "Compare every score of a click with every score of a row without: `a[:, None] > b[None, :]`.",
    "A pair in order counts 1, a tie one half; divide by the number of pairs.",
)
def auc_by_pairs(auc: Callable) -> str:
    """`auc(y, score)`: the share of pairs of a click and a row without that are in order, ties counted half."""

    def counted(tie: float) -> Callable:
        def share(y: np.ndarray, score: np.ndarray) -> float:
            pairs = list(product(score[y == 1], score[y == 0]))
            return float(np.mean([(a > b) + tie * (a == b) for a, b in pairs]))

        return share

    dice = _dice()
    drawn = [
        (np.r_[1, 0, dice.integers(0, 2, n)], dice.integers(0, 4, n + 2).astype(float)) for n in (3, 8, 30)
    ]
    compare(
        auc,
        [
            (np.array([1, 0]), np.array([0.7, 0.7])),
            (np.array([1, 1, 0, 0]), np.array([3.0, 1, 1, 0])),
            *drawn,
        ],
        counted(0.5),
        {
            "A tie counts one half; here it counts nothing.": counted(0.0),
            "A tie counts one half; here it counts as a pair in order.": counted(1.0),
            "These are the pairs in the wrong order.": lambda y, score: counted(0.5)(1 - y, score),
        },
    )
    return "Ranks give the same number without forming a pair, which is why large tables can have an AUC."


@exercise(
    "16.3",
    "Work with odds: p / (1 − p). What does thinning out the rows without a click do to them?",
    "The odds of the sample are too high by the factor 1 / kept. Multiply by kept, and go back to a probability.",
)
def for_all_rows(corrected: Callable) -> str:
    """`corrected(q, kept)`: the probability among all rows, if a share `kept` of those without a click was seen."""

    def odds_times(q: np.ndarray, factor: float) -> np.ndarray:
        return q * factor / (q * factor + 1 - q)

    compare(
        corrected,
        [
            (np.array([0.5]), 1.0),
            (np.array([0.5]), 1 / 99),
            *((_dice().uniform(0.05, 0.95, 4), kept) for kept in (0.5, 0.02)),
        ],
        odds_times,
        {
            "This multiplies the probability; multiply the odds.": lambda q, kept: q * kept,
            "This makes the odds higher still; in the sample they are too high already.": lambda q, kept: (
                odds_times(q, 1 / kept)
            ),
            "This adds the logarithm to the probability; it belongs to the log-odds.": lambda q, kept: (
                q + np.log(kept)
            ),
        },
    )
    return "The order of the rows stays as it was, and the probabilities now fit all rows."


@exercise(
    "16.4",
    "`o1 @ w1` gives a number for each row. What is missing is the product of both outputs with the matrix between.",
    "`(o1 @ W) * o2`, summed over its columns, is the bilinear term of each row.",
)
def fused_networks(fuse: Callable) -> str:
    """`fuse(o1, o2, w1, w2, W, b)`: the scores of two networks' outputs, linear in each and bilinear in both."""

    def fused(bilinear: Callable) -> Callable:
        def scores(o1, o2, w1, w2, W, b) -> np.ndarray:  # noqa: N803
            rows = zip(o1, o2, strict=True)
            return np.array([b + w1 @ x + w2 @ y + bilinear(x, W, y) for x, y in rows])

        return scores

    dice = _dice()

    def case(rows: int, d: int) -> tuple:
        matrices = (dice.normal(size=shape).round(2) for shape in ((rows, d), (rows, d), (d,), (d,), (d, d)))
        return (*matrices, 0.5)

    compare(
        fuse,
        [case(1, 2), case(3, 2), case(4, 3)],
        fused(lambda x, W, y: x @ W @ y),
        {
            "The matrix is turned round: its rows belong to the first network.": fused(
                lambda x, W, y: y @ W @ x
            ),
            "The bilinear term is missing.": fused(lambda x, W, y: 0.0),
            "This pairs only entries with the same number, as if the matrix were diagonal.": fused(
                lambda x, W, y: np.sum(np.diag(W) * x * y)
            ),
        },
    )
    return "With W = I and no linear terms this is a dot product, so a pair of vectors is a special case."


# 17 Your own data


@exercise(
    "17.1",
    "Mean and deviation come from the training numbers alone; the other numbers only get them.",
    "`np.std` divides by n, and `std` of a pandas series by n − 1. What is left of a number that lies at the mean?",
)
def scaled_by_training(scale: Callable) -> str:
    """`scale(train, numbers)`: numbers from the mean of the training numbers, in their standard deviations."""

    def by(of: Callable, ddof: int = 0, missing: Callable = np.mean) -> Callable:
        def scaled(train: np.ndarray, numbers: np.ndarray) -> np.ndarray:
            known = of(train, numbers)
            filled = np.where(np.isnan(numbers), missing(known), numbers)
            return (filled - known.mean()) / known.std(ddof=ddof)

        return scaled

    def training(train: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return train

    dice = _dice()
    drawn = [(dice.normal(5, 3, n).round(1), np.r_[dice.normal(9, 3, 3).round(1), np.nan]) for n in (4, 30)]
    compare(
        scale,
        [(np.array([1.0, 3]), np.array([4, np.nan, 1])), *drawn],
        by(training),
        {
            "This divides by n − 1 in the variance; the chapter divides by n.": by(training, ddof=1),
            "These are mean and deviation of the numbers that are to be scaled; take those of the training numbers.": (
                by(lambda train, numbers: numbers[~np.isnan(numbers)])
            ),
            "A missing number stays NaN; it has to count as the mean.": by(
                training, missing=lambda _: np.nan
            ),
            "A missing number counts as 0 in the unit of the column; it has to count as the mean.": (
                by(training, missing=lambda _: 0.0)
            ),
        },
    )
    return "A number that the training rows have never seen has a place, and a missing one the place of the mean."


@exercise(
    "17.2",
    "Divide the expected number of lots that share by the number of lots: what is left is a chance.",
    "Try one number of boxes after the other, from 1 on, or solve for the number and round up.",
)
def boxes_for_few_sharing(boxes: Callable) -> str:
    """`boxes(m, share)`: the fewest boxes with which, on average, at most this share of m lots share their box."""

    def fewest(chance: Callable, fewer: int = 0) -> Callable:
        def search(m: int, share: float) -> int:
            count = 1
            while chance(m, count) > share + 1e-12:
                count += 1
            return count - fewer

        return search

    def of_a_lot(m: int, count: int) -> float:
        return 1 - (1 - 1 / count) ** (m - 1)

    compare(
        boxes,
        [(2, 0.5), (2, 0.3), (9, 0.15), (60, 0.4), (700, 0.1)],
        fewest(of_a_lot),
        {
            "A lot does not share its box with itself; it has m − 1 others.": fewest(
                lambda m, count: of_a_lot(m + 1, count)
            ),
            "This many boxes are one too few.": fewest(of_a_lot, fewer=1),
            "This counts pairs of lots in one box; asked is the number of lots that are in such a pair.": fewest(
                lambda m, count: (m - 1) / 2 / count
            ),
        },
    )
    return "A rule of thumb: for one lot in ten to share, it takes nearly ten times as many boxes as lots."


@exercise(
    "17.3",
    "Add up the points and count the rows for each plant and day; then take, for each day, what came before.",
    "A running sum less the day's own sum holds the earlier days alone.",
)
def means_so_far(so_far: Callable) -> str:
    """`so_far(rows)`: for each row the mean points of its plant's rows of earlier days, NaN if there are none."""

    def mean(which: Callable) -> Callable:
        def of_all(rows: pd.DataFrame) -> np.ndarray:
            found = [
                [
                    other.points
                    for other in rows.itertuples()
                    if other.plant == row.plant and which(other, row)
                ]
                for row in rows.itertuples()
            ]
            return np.array([np.mean(points) if points else np.nan for points in found])

        return of_all

    dice = _dice()
    three = pd.DataFrame({"plant": 1, "sown": [1, 2, 3], "points": [10, 20, 60]})
    drawn = [
        pd.DataFrame(
            dict(zip(("plant", "sown", "points"), dice.integers(1, (4, 6, 100), (n, 3)).T, strict=True))
        )
        for n in (8, 30)
    ]
    right = mean(lambda other, row: other.sown < row.sown)
    compare(
        so_far,
        [(rows,) for rows in (three, three.iloc[[2, 0, 1]], *drawn)],
        right,
        {
            "The row's own points are in its mean, and so is the answer.": mean(
                lambda other, row: other.sown < row.sown or other.Index == row.Index
            ),
            "The other rows of the same day are in the mean; only earlier days may be.": mean(
                lambda other, row: other.sown <= row.sown and other.Index != row.Index
            ),
            "This is the mean of all rows of the plant; later ones, and the row itself, are in it.": mean(
                lambda other, row: True
            ),
            "Where nothing came before, the mean is unknown: NaN, and not 0.": lambda rows: np.nan_to_num(
                right(rows)
            ),
        },
    )
    return "Every number in this column was known on the day of its row."


# 18 After training


@exercise(
    "18.1",
    "The mean of the probabilities rises with the number that is added, so the number can be searched for.",
    "Halve an interval again and again, or let scipy.optimize.brentq do so.",
)
def moved_constant(shift: Callable) -> str:
    """`shift(scores, share)`: what has to be added to scores in log-odds, so that the mean probability is the share."""
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    def right(scores: np.ndarray, share: float) -> float:
        return brentq(lambda b: expit(scores + b).mean() - share, -50, 50, xtol=1e-12)

    dice = _dice()
    compare(
        shift,
        [
            (np.array([0.0, 2.0]), 0.5),
            (np.array([-1.0, 0.5, 3.0]), 0.2),
            (dice.normal(-1, 2, 40).round(2), 0.6),
        ],
        right,
        {
            "This has the wrong sign.": lambda scores, share: -right(scores, share),
            "This compares log-odds of means, and the mean of the moved probabilities is another number.": (
                lambda scores, share: logit(share) - logit(expit(scores).mean())
            ),
            "This moves the mean of the scores; asked is the mean of the probabilities.": (
                lambda scores, share: logit(share) - scores.mean()
            ),
        },
        within=1e-4,
    )
    return "One number makes the mean right and leaves the order as it was."


@exercise(
    "18.2",
    "Add up the probabilities of each group, and its clicks, and divide.",
    "np.bincount(group, p) adds up p within each group; where no click came, put NaN in the place of the 0.",
)
def calibration_by_group(by_group: Callable) -> str:
    """`by_group(p, y, group)`: the calibration of each group 0, 1, …, NaN for a group without a click."""

    def sums(p: np.ndarray, y: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        came = np.bincount(group, y)
        return np.bincount(group, p), np.where(came > 0, came, np.nan)

    def of(ratio: Callable) -> Callable:
        return lambda p, y, group: ratio(*sums(p, y, group), np.bincount(group), p, y)

    dice = _dice()
    group = np.r_[np.arange(5), dice.integers(0, 5, 40)]
    y = dice.integers(0, 2, 45) * (group != 3) * 1.0
    y[0] = 1.0
    cases = [
        (np.array([0.6, 0.6, 0.4, 0.4]), np.array([1.0, 1.0, 1.0, 0.0]), np.array([0, 0, 1, 1])),
        (np.array([0.5, 0.3, 0.2]), np.array([1.0, 0.0, 0.0]), np.array([0, 1, 0])),
        (dice.uniform(0.05, 0.6, 45).round(2), y, group),
    ]
    compare(
        by_group,
        cases,
        of(lambda foreseen, came, n, p, y: foreseen / came),
        {
            "This is the number of clicks that came for each one that was foreseen; asked is the other way round.": of(
                lambda foreseen, came, n, p, y: came / foreseen
            ),
            "This is what was foreseen in a row of the group; divide by the clicks that came, not by the rows.": of(
                lambda foreseen, came, n, p, y: foreseen / n
            ),
            "This is a difference of means; asked is a ratio of sums.": of(
                lambda foreseen, came, n, p, y: (foreseen - came) / n
            ),
            "This is the calibration of all rows, for each group; asked is each group's own.": of(
                lambda foreseen, came, n, p, y: np.full(len(n), p.sum() / y.sum())
            ),
        },
    )
    return "A calibration for all rows is a mean of these, and a mean can hide what it is made of."


# Gallery, one training, strict reading


@exercise(
    "gallery.1",
    "Subtract from each run the mean of all runs with its seed.",
    '`groupby(...).transform("mean")` gives each row the mean of its group.',
)
def within_seeds(within: Callable) -> str:
    """`within(errors, seeds)`: the errors, each less the mean error of its seed."""

    def right(errors: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        return np.array([e - errors[seeds == s].mean() for e, s in zip(errors, seeds, strict=True)])

    dice = _dice()
    compare(
        within,
        [(dice.normal(size=n).round(2), np.arange(n) % 3 + 1) for n in (6, 9, 30)],
        right,
        {
            "This subtracts the mean of all runs; the clouds keep their distance.": lambda e, s: e - e.mean(),
            "These are the means of the seeds; subtract them.": lambda e, s: e - right(e, s),
            "The distances within a seed are to stay as they are, without division.": lambda e, s: (
                right(e, s) / pd.Series(e).groupby(s).transform("std").to_numpy()
            ),
        },
    )
    return "What is left differs by setting, not by the rows that a seed has set aside."


@exercise(
    "gallery.2",
    "For each seed, find its run with the lowest validation error.",
    "Look up the place of that setting in the order of the means over all seeds.",
)
def chosen_by_one_seed(places: Callable) -> str:
    """`places(errors)`: for each seed, the place (1 is the best) that its best setting has by the mean over seeds;
    validation errors, settings by seeds."""

    def right(errors: np.ndarray) -> np.ndarray:
        order = sorted(range(len(errors)), key=lambda setting: errors[setting].mean())
        best = [min(range(len(errors)), key=lambda i: errors[i, s]) for s in range(errors.shape[1])]
        return np.array([order.index(setting) + 1 for setting in best])

    dice = _dice()
    compare(
        places,
        [(dice.normal(size=shape).round(3),) for shape in ((2, 3), (4, 3), (27, 3))],
        right,
        {
            "Places are counted from 1.": lambda e: right(e) - 1,
            "These are the numbers of the settings; asked is their place by the mean.": lambda e: e.argmin(
                axis=0
            ),
            "This takes the worst run of each seed.": lambda e: (
                np.argsort(np.argsort(e.mean(axis=1)))[e.argmax(axis=0)] + 1
            ),
        },
    )
    return "How far down a choice by one seed can end is how much luck one seed has."


@exercise(
    "one_training.1",
    "The tables have a weight and a vector for each of their rows, and each table has one row more than it has ids.",
    "A layer of the network has a matrix and a bias; the model has one constant.",
)
def trained_numbers(numbers: int, fitted: object) -> str:
    """How many numbers the fitted model has trained."""
    rows = sum(1 if field.kind == "numeric" else field.size + 1 for field in fitted.fields)
    judge(
        numbers,
        fitted.parameters,
        {
            "The model has one constant more.": fitted.parameters - 1,
            "Every table has a row for the id 0 as well.": fitted.parameters
            - sum(field.kind != "numeric" for field in fitted.fields) * _width(fitted),
            "Every row of a table has a weight besides its vector.": fitted.parameters - rows,
        },
        within=1e-12,
    )
    in_tables = rows * _width(fitted) / fitted.parameters
    return (
        f"The tables hold {in_tables:.0%} of these numbers: a weight and a vector for each value of a field."
    )


def _width(fitted: object) -> int:
    """How many numbers a row of a field's tables has: its weight and its vector."""
    from deepfm_helpers import anatomy

    return 1 + anatomy.tables(fitted.model, fitted.fields[0]).second.get_weights()[0].shape[1]


@exercise(
    "pace.1",
    "A step touches every row of every table, and a row holds a weight besides its vector.",
    "The ratings of a batch share the numbers that its step touches.",
)
def touched_per_rating(touched: Callable) -> str:
    """`touched(rows, k, batch_size)`: numbers of the tables that Adam touches for each rating of a batch."""
    compare(
        touched,
        [(40, 3, 16), (2_000, 3, 100), (9_746, 24, 2_048), (200_000, 16, 65_536)],
        lambda rows, k, batch_size: rows * (k + 1) / batch_size,
        {
            "The weights of the first order are missing.": lambda rows, k, batch_size: rows * k / batch_size,
            "That is for a whole batch, and not for one of its ratings.": lambda rows, k, batch_size: (
                rows * (k + 1)
            ),
        },
    )
    return "A batch four times as large needs a quarter of the work on the tables for the same ratings."


@exercise(
    "strict_reading.1",
    "Either the separator must be impossible inside of a column, or a column must be able to say where it ends.",
    "CSV puts quotation marks around a text and doubles those inside of it; JSON escapes them.",
)
def safe_format(pair: Sequence[Callable]) -> str:
    """`(write, read)`: `write(columns)` makes one line of a list of texts, `read(line)` gives the texts back."""
    if len(_listed(pair)) != 2:
        raise Wrong("Expected are two functions: one that writes a line, and one that reads it.")
    write, read = pair
    nasty = (
        ["1", "Toy Story (1995)"],
        ["1", "Lost::Found (1995)", "Drama"],
        ["2", 'She said "::"', "War"],
        ["3", "One, two", "a|b"],
        ["4", "", "\\\\ and \\"],
    )
    for columns in nasty:
        line = call(write, columns)
        if not isinstance(line, str) or "\n" in line:
            raise Wrong("A line is one text without a line break.", str(columns))
        found = call(read, line)
        if list(found) != columns:
            raise Wrong(f"Read again, these columns are {list(found)}.", str(columns))
    return "Whatever a title contains, every column comes back."


@exercise(
    "strict_reading.2",
    "Collect the ids of the tables of films and of users, and ask for each rating whether it has both.",
    "One unknown id is enough.",
)
def second_net(refuses: Callable) -> str:
    """`refuses(ratings, movies, users)`: whether some rating names a film or a user that the tables do not have."""
    movies, users = pd.DataFrame({"mid": [1, 2, 5]}), pd.DataFrame({"uid": [1, 2, 3]})
    ratings = [[(1, 1)], [(1, 9)], [(9, 1)], [(1, 1), (2, 5), (3, 2)], [(3, 5), (4, 5)], [(2, 3), (1, 1)]]
    compare(
        refuses,
        [(pd.DataFrame(rows, columns=["uid", "mid"]), movies, users) for rows in ratings],
        lambda r, m, u: any(row.uid not in set(u.uid) or row.mid not in set(m.mid) for row in r.itertuples()),
        {
            "This looks at the films only.": lambda r, m, u: not r.mid.isin(m.mid).all(),
            "This looks at the users only.": lambda r, m, u: not r.uid.isin(u.uid).all(),
            "This is the other way round.": lambda r, m, u: bool(
                r.uid.isin(u.uid).all() and r.mid.isin(m.mid).all()
            ),
        },
    )
    return "A digit that turns an id into one that nobody has is caught; one that turns it into another's is not."

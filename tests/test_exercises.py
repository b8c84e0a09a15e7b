"""Exercises: every checker takes its solution, and refuses plausible wrong answers with a message of its own."""

import contextlib
import json
import re
import time
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats
from scipy.optimize import brentq
from scipy.special import expit, logit

from deepfm_helpers import checkers, exercises, features, grading, models

ENDS = np.array(checkers.AGE_CODES)


def latest(ratings, by="timestamp"):
    rows = ratings.sort_values(by, kind="stable") if by else ratings
    return rows[: len(rows) * 9 // 10], rows[len(rows) * 9 // 10 :]


def known(early, late):
    return len(set(late.uid) & set(early.uid)) / late.uid.nunique()


def moved(**by):
    return lambda weights: {name: w + by.get(name, 0.0) for name, w in weights.items()}


class Given:
    """An answer, and what it is about."""

    def __init__(self, answer, **about):
        self.answer, self.about = answer, about


FIELDS = (
    features.Feature("uid", "single", "uid", 20, owner="user"),
    features.Feature("mid", "single", "mid", 11, owner="film"),
)


def collapsed(W, b):
    matrix, bias = W[0], b[0]
    for w, c in zip(W[1:], b[1:], strict=True):
        matrix, bias = matrix @ w, bias @ w + c
    return matrix, bias


def needed(a, b, same):
    variance = (a - b).var(ddof=1) if same else a.var(ddof=1) + b.var(ddof=1)
    return variance * (2 / (0.001 * 2 * np.sqrt(np.mean([a, b])))) ** 2


def enough(difference, spread, power):
    for n in range(2, 1000):
        if (stats.t.ppf(0.975, n - 1) + stats.t.ppf(power, n - 1)) * spread / np.sqrt(n) <= difference:
            return n


def half_widths(differences):
    return np.array([-1, 1]) * stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences)


def largest(n):
    return np.random.default_rng(2).normal(size=(200_000, n)).max(axis=1).mean()


def late(rows, seconds):
    return rows.mid[rows.timestamp > rows.timestamp.max() - seconds].value_counts()


def grown(score, stars):
    return (stars.round() - score).var() - (stars - score).var()


def slope(score, stars):
    return np.polyfit(score, stars, 1)[0]


def order(y, score, better):
    return better.outer(score[y == 1], score[y == 0])


def in_order(y, score):
    return (order(y, score, np.greater).mean() + order(y, score, np.greater_equal).mean()) / 2


def before(rows, own=False):
    """The mean points of earlier days by plant; with `own`, the row's points as well."""
    days = rows.groupby(["plant", "sown"]).points.agg(["sum", "size"])
    earlier = (days.groupby("plant").cumsum() - days).loc[pd.MultiIndex.from_frame(rows[["plant", "sown"]])]
    total, number = earlier["sum"].to_numpy() + own * rows.points, earlier["size"].to_numpy() + own
    return total / np.where(number, number, np.nan)


def same_day(rows):
    """The mean points of earlier days and of the other rows of the day."""
    days = rows.groupby(["plant", "sown"]).points.agg(["sum", "size"]).groupby("plant").cumsum()
    until = days.loc[pd.MultiIndex.from_frame(rows[["plant", "sown"]])]
    total, number = until["sum"].to_numpy() - rows.points, until["size"].to_numpy() - 1
    return total / np.where(number, number, np.nan)


class Fitted(NamedTuple):
    """As much of `recipes.Fitted` as a checker asks for."""

    fields: tuple
    model: object

    @property
    def parameters(self):
        return self.model.count_params()


ROW = np.random.default_rng(1).normal(size=(4, 8))

FITTED = Fitted(FIELDS, models.deep_fm_model(features=FIELDS, k=4, dnn_dim=(5,))[-1])


ANSWERS = {
    "1.1": {
        lambda age: ENDS[np.searchsorted(ENDS, age, side="right") - 1]: None,
        lambda age: ENDS[np.searchsorted(ENDS, age) - 1]: "equals the lower end",
        lambda age: ENDS[np.abs(np.subtract.outer(age, ENDS)).argmin(axis=1)]: "nearest",
        lambda age: np.searchsorted(ENDS, age, side="right") - 1: "numbers the groups",
    },
    "1.2": {
        lambda ratings: known(*latest(ratings)): None,
        lambda ratings: known(*latest(ratings, None)): "last rows of the file",
        lambda ratings: known(*latest(ratings, "uid")): "sorts by user",
        lambda ratings: 100 * known(*latest(ratings)): "percent",
    },
    "2.1": {
        lambda genres: genres[3:]: None,
        lambda genres: genres[:3]: "keep a place",
        lambda genres: genres[:-3]: "as the post does",
    },
    "2.2": {
        lambda text: (len(set("|".join(text).split("|"))) + 1, text.str.count("[|]").max() + 1): None,
        lambda text: (len(set("|".join(text).split("|"))), text.str.count("[|]").max() + 1): "id 0",
        lambda text: (len(set("|".join(text).split("|"))) + 1, text.str.count("[|]").max()): "separators",
    },
    "2.3": {
        lambda comedy, drama, none: (comedy + drama - none, (comedy + drama) / 2): None,
        lambda comedy, drama, none: (comedy + drama, (comedy + drama) / 2): "counted twice",
        lambda comedy, drama, none: ((comedy + drama) / 2,) * 2: "do not average",
        lambda comedy, drama, none: comedy: "two numbers",
    },
    "3.1": {
        moved(mid=0.3, uid=-0.3): None,
        moved(mid=0.3, genre=-0.3): None,
        moved(mid=0.3): "changed by \\+0.30",
        moved(uid=0.3, mid=-0.3): "has to grow",
        lambda weights: weights["mid"] + 0.3: "same fields",
    },
    "3.2": {
        lambda train, valid: valid.mid.map(train.mid.value_counts()).fillna(0): None,
        lambda train, valid: valid.mid.map(train.mid.value_counts()): "NaN",
        lambda train, valid: valid.mid.map(valid.mid.value_counts()): "counts of the validation rows",
    },
    "3.3": {
        lambda v, r: pd.Series(r).groupby(v).transform("mean").var(ddof=0) / r.var(): None,
        lambda v, r: np.corrcoef(v, r)[0, 1] ** 2: "straight line",
        lambda v, r: pd.Series(r).groupby(v).mean().var(ddof=0) / r.var(): "alike",
        lambda v, r: 1 - pd.Series(r).groupby(v).transform("mean").var(ddof=0) / r.var(): "left",
    },
    "4.1": {
        lambda total, new: float(total @ new): None,
        lambda total, new: 2 * total @ new: "twice",
        lambda total, new: (total + new) @ new: "with itself",
        lambda total, new: total * new: "a dot product adds them up|shape",
    },
    "4.2": {
        lambda v: v @ np.linalg.qr(np.random.default_rng(1).normal(size=(v.shape[1],) * 2))[0]: None,
        lambda v: v: "Nothing has moved",
        lambda v: 2 * v: "lengths",
        lambda v: (
            np.linalg.norm(v, axis=1, keepdims=True) * np.eye(v.shape[1])[np.arange(len(v)) % v.shape[1]]
        ): "not all turned alike",
    },
    "4.3": {
        lambda z: (z.sum() ** 3 - 3 * z.sum() * (z**2).sum() + 2 * (z**3).sum()) / 6: None,
        lambda z: (z.sum() ** 2 - (z**2).sum()) / 2: "pairs",
        lambda z: z.sum() ** 3 - 3 * z.sum() * (z**2).sum() + 2 * (z**3).sum(): "six times",
    },
    "5.1": {
        ((-1, -1, -1), 1, -1, 1): None,
        ((1, 1, 1), 0, 1, 0): "counts how many",
        ((-1, -1, -1), 1, 1, 0): "other way round",
        ((1, 1, 1), -2, 1, 0): "all three",
        (1, 2, 3): "four things",
    },
    "5.2": {
        collapsed: None,
        lambda W, b: (collapsed(W, b)[0], b[-1]): "last bias",
        lambda W, b: (collapsed(W, b)[0].T, collapsed(W, b)[1]): "shape|not the right one",
        lambda W, b: collapsed(W, b)[0]: "two arrays",
    },
    "5.3": {
        Given({"t": "deep"}, together={"t": 1.0}, error={("t", "deep"): 1.1, ("t", "pairs"): 2}): None,
        Given({"t": "pairs"}, together={"t": 1.0}, error={("t", "deep"): 1.1, ("t", "pairs"): 2}): "nearer",
        Given({"t": "x"}, together={"t": 1.0}, error={("t", "deep"): 1.1, ("t", "pairs"): 2}): "is one of",
        Given("deep", together={"t": 1.0}, error={("t", "deep"): 1.1, ("t", "pairs"): 2}): "two dicts",
    },
    "6.1": {
        Given(8 * (33 + 2 * 5), fields=FIELDS, hidden=[5, 3]): None,
        Given(8 * 33, fields=FIELDS, hidden=[5, 3]): "the first layer of the network grows as well",
        Given(8 * 2 * 5, fields=FIELDS, hidden=[5, 3]): "the vectors grow as well",
    },
    "6.2": {
        Given(33 * (4 + 1 + 4) + (2 * 4 + 1) * 5 + 6 * 3 + 4 + 1, fields=FIELDS, k=4, hidden=[5, 3]): None,
        Given(33 * (4 + 1) + (2 * 4 + 1) * 5 + 6 * 3 + 4 + 1, fields=FIELDS, k=4, hidden=[5, 3]): "shared",
        Given(33 * 4, fields=FIELDS, k=4, hidden=[5, 3]): "what is added",
    },
    "6.3": {
        lambda n: [1, -1] if n == 2 else "impossible": None,
        lambda n: [1, -1, 1, -1][:n]: "fields 1 and 3 keeps its sign",
        lambda n: "impossible": "possible here",
        lambda n: "no": "only text",
        lambda n: [2] * n: "each 1 or -1",
    },
    "7.1": {
        lambda u, v, e: (u @ v, 3 + u @ u + v @ v, e): None,
        lambda u, v, e: (u @ v, u @ u + v @ v, e): "three weights",
        lambda u, v, e: (e, 3 + u @ u + v @ v, u @ v): "The order",
        lambda u, v, e: (0, 3 + u @ u + v @ v, e): "both vectors",
    },
    "7.2": {
        needed: None,
        lambda a, b, same: needed(a, b, False): "alike",
        lambda a, b, same: needed(a, b, same) / 4: "one standard error",
        lambda a, b, same: needed(a, b, same) * 4 * np.mean([a, b]): "twice the RMSE",
    },
    "7.3": {
        lambda n, sd: sd * np.random.default_rng(1).normal(size=(20_000, n)).max(axis=1).mean(): None,
        lambda n, sd: sd * np.sqrt(2 * np.log(n)): "bound",
        lambda n, sd: sd: "one model",
    },
    "8.1": {
        lambda rows: rows.sample(frac=1, random_state=1): None,
        lambda rows: rows: "In the last tenth, 0%",
        lambda rows: rows.assign(uid=rows.uid.sample(frac=1, random_state=1).to_numpy()): "belong together",
        lambda rows: rows.sample(frac=0.5): "are left",
    },
    "8.2": {
        Given("random rows", shares={"latest tenth": 0.7, "sorted tail": 0.0, "random rows": 1.0}): None,
        Given("sorted tail", shares={"latest tenth": 0.7, "sorted tail": 0.0, "random rows": 1.0}): "nearer",
        Given(
            "both", shares={"latest tenth": 0.7, "sorted tail": 0.0, "random rows": 1.0}
        ): "one of the texts",
    },
    "9.1": {
        lambda c: 1 / c**2: None,
        lambda c: 1 / c: "not one",
        lambda c: c**2: "larger",
    },
    "9.2": {
        lambda rest, part, y: part.var(): None,
        lambda rest, part, y: part.std(): "standard deviation",
        lambda rest, part, y: 2 * part.var(): "twice",
    },
    "9.3": {
        lambda first, second, both: (first + both - second) / 2: None,
        lambda first, second, both: first: "alone",
        lambda first, second, both: both - second: "on top",
    },
    "10.1": {
        lambda d, s: enough(d, s, 0.8): None,
        lambda d, s: enough(d, s, 0.5): "second quantile",
        lambda d, s: int(np.ceil((2.801585 * s / d) ** 2)): "normal distribution",
        lambda d, s: enough(d, s, 0.8) - 1: "too few",
    },
    "10.2": {
        Given(
            ("b", "a"), added=pd.Series({"a": -0.1, "b": -0.2}), left_out=pd.Series({"a": 0.3, "b": 0.1})
        ): None,
        Given(
            ("a", "a"), added=pd.Series({"a": -0.1, "b": -0.2}), left_out=pd.Series({"a": 0.3, "b": 0.1})
        ): "alone",
        Given(
            ("b", "b"), added=pd.Series({"a": -0.1, "b": -0.2}), left_out=pd.Series({"a": 0.3, "b": 0.1})
        ): "out",
        Given("b", added=pd.Series({"b": 1.0}), left_out=pd.Series({"b": 1.0})): "two rows",
    },
    "10.3": {
        lambda a, b: stats.t.ppf(0.975, 2 * len(a) - 2) * np.hypot(stats.sem(a), stats.sem(b)): None,
        lambda a, b: stats.t.ppf(0.975, len(a) - 1) * stats.sem(a - b): "paired",
        lambda a, b: (
            stats.t.ppf(0.975, len(a) - 1) * np.hypot(stats.sem(a), stats.sem(b))
        ): "degrees of freedom",
        lambda a, b: 1.959964 * np.hypot(stats.sem(a), stats.sem(b)): "1.96",
    },
    "11.1": {
        lambda new, old: half_widths(new - old) + (new - old).mean(): None,
        lambda new, old: half_widths(new - old) + (old - new).mean(): "old less new",
        lambda new, old: (
            half_widths(new - old) * np.sqrt(len(new)) + (new - old).mean()
        ): "divided by the root",
        lambda new, old: (new - old).mean(): "shape",
    },
    "11.2": {
        lambda p: p.var(axis=0).mean(): None,
        lambda p: p.var(axis=0, ddof=1).mean() if len(p) > 1 else 0.0: "one model fewer",
        lambda p: p.var(axis=1).mean(): "row to row",
    },
    "11.3": {
        Given((1, 0.0), first_bin=1, directions=np.array([1e-5, -1e-6])): None,
        Given((0, 0.0), first_bin=1, directions=np.array([1e-5, -1e-6])): "counted from 1",
        Given((1, 0.5), first_bin=1, directions=np.array([1e-5, -1e-6])): "directions of rated",
        Given(1, first_bin=1, directions=np.array([0.0])): "two numbers",
    },
    "12.1": {
        lambda s, c, b: s + b * np.log1p(c): None,
        lambda s, c, b: s + b * c: "without the logarithm",
        lambda s, c, b: s * b * np.log1p(c): "multiplied",
    },
    "12.2": {
        lambda n, m: min(1, n / m): None,
        lambda n, m: n / m: "more films than",
        lambda n, m: 1 / m: "first place",
    },
    "12.3": {
        lambda rows, films, days: late(rows, 86400 * days).reindex(films, fill_value=0): None,
        lambda rows, films, days: late(rows, days).reindex(films, fill_value=0): "in seconds",
        lambda rows, films, days: rows.mid.value_counts().reindex(films, fill_value=0): "all rows",
        lambda rows, films, days: late(rows, 86400 * days).reindex(films): "NaN",
        lambda rows, films, days: late(rows, 86400 * days): "shape",
    },
    "12.4": {
        Given(0.75, even=0.6, weighted=0.15): None,
        Given(0.25, even=0.6, weighted=0.15): "left",
        Given(0.45, even=0.6, weighted=0.15): "difference",
    },
    "13.1": {
        lambda a, b: (np.hypot(stats.sem(a), stats.sem(b)), stats.sem(a - b)): None,
        lambda a, b: (stats.sem(a - b), np.hypot(stats.sem(a), stats.sem(b))): "order",
        lambda a, b: (
            np.hypot(np.std(a, ddof=1), np.std(b, ddof=1)),
            np.std(a - b, ddof=1),
        ): "standard deviations",
    },
    "13.2": {
        lambda settings, noise, limit: int(np.ceil((noise * largest(settings) / limit) ** 2)): None,
        lambda settings, noise, limit: int(np.ceil(noise * largest(settings) / limit)): "root",
        lambda settings, noise, limit: int(np.ceil((noise / limit) ** 2 * 2 * np.log(settings))): "bound",
    },
    "13.3": {
        lambda grid, drawn, seeds: (int(np.prod(grid)) + drawn) * seeds: None,
        lambda grid, drawn, seeds: (sum(grid) + drawn) * seeds: "multiplied",
        lambda grid, drawn, seeds: int(np.prod(grid)) * seeds + drawn: "the drawn ones too",
    },
    "14.1": {
        Given((-3, 5), user=(1, 2), film=(3, 1), shift=(1, 0)): None,
        Given((3, 5), user=(1, 2), film=(3, 1), shift=(1, 0)): "take it back",
        Given((-1, 5), user=(1, 2), film=(3, 1), shift=(1, 0)): "of the film, not",
        Given((-3, 8), user=(1, 2), film=(3, 1), shift=(1, 0)): "with the shift",
        Given((-3, -5), user=(1, 2), film=(3, 1), shift=(1, 0)): "not one",
        Given(-3, user=(1, 2), film=(3, 1), shift=(1, 0)): "two numbers",
    },
    "14.2": {
        lambda noise, wanted: int(np.ceil((noise / wanted) ** 2)): None,
        lambda noise, wanted: noise / wanted: "root",
        lambda noise, wanted: (wanted / noise) ** 2: "upside down",
        lambda noise, wanted: noise / wanted**2: "square of the noise",
    },
    "14.3": {
        lambda score, stars: (grown(score, stars), slope(score, stars.round().clip(1, 5))): None,
        lambda score, stars: (grown(score, stars), slope(score, stars.round())): "not been cut off",
        lambda score, stars: ((stars.round() - score).var(), slope(score, stars.round().clip(1, 5))): "whole",
        lambda score, stars: (
            (stars.round() - stars).var(),
            slope(score, stars.round().clip(1, 5)),
        ): "changes",
        lambda score, stars: (
            grown(score, stars),
            slope(stars.round().clip(1, 5), score),
        ): "rise of the score",
        lambda score, stars: grown(score, stars): "shape",
    },
    "15.1": {
        Given((48 / 9, 8 / 3), ratings=(1, 3, 5), constant=3): None,
        Given((0, 8 / 3), ratings=(1, 3, 5), constant=3): "its own rating",
        Given((48, 24), ratings=(1, 3, 5), constant=3): "sum of the squares",
        Given((48 / 9, 8), ratings=(1, 3, 5), constant=3): "as many squares",
        Given(48 / 9, ratings=(1, 3, 5), constant=3): "two numbers",
    },
    "15.2": {
        Given(0.71, vectors=ROW): None,
        Given(0.5, vectors=ROW): "a quarter",
        Given(1.41, vectors=ROW): "longer",
    },
    "15.3": {
        Given(1, batch=1600): None,
        Given(2, batch=1600): "other rows as well",
        Given(1600, batch=1600): "was trained",
        Given(0.5, batch=1600): "whole number",
    },
    "16.1": {
        lambda share: -share * np.log(expit(3)) + (1 - share) * np.log(2): None,
        lambda share: float(special.entr(share) + special.entr(1 - share)): "what the share itself costs",
        lambda share: -share * np.log(expit(3)) - (1 - share) * np.log(expit(-3)): "lowest one",
        lambda share: -share * np.log(expit(1)) + (1 - share) * np.log(2): "the floor of two sigmoids",
        lambda share: (-share * np.log(expit(3)) + (1 - share) * np.log(2)) / np.log(2): "in bits",
    },
    "16.2": {
        lambda y, score: in_order(y, score): None,
        lambda y, score: order(y, score, np.greater).mean(): "counts nothing",
        lambda y, score: order(y, score, np.greater_equal).mean(): "as a pair in order",
        lambda y, score: in_order(1 - y, score): "wrong order",
    },
    "16.3": {
        lambda q, kept: expit(logit(q) + np.log(kept)): None,
        lambda q, kept: kept * q: "multiplies the probability",
        lambda q, kept: expit(logit(q) - np.log(kept)): "higher still",
        lambda q, kept: q + np.log(kept): "adds the logarithm to the probability",
    },
    "16.4": {
        lambda o1, o2, w1, w2, W, b: b + o1 @ w1 + o2 @ w2 + np.einsum("ni,ij,nj->n", o1, W, o2): None,
        lambda o1, o2, w1, w2, W, b: (
            b + o1 @ w1 + o2 @ w2 + np.einsum("ni,ji,nj->n", o1, W, o2)
        ): "turned round",
        lambda o1, o2, w1, w2, W, b: b + o1 @ w1 + o2 @ w2: "bilinear term is missing",
        lambda o1, o2, w1, w2, W, b: b + o1 @ w1 + o2 @ w2 + o1 * o2 @ np.diag(W): "diagonal",
    },
    "17.1": {
        lambda train, a: (np.nan_to_num(a, nan=train.mean()) - train.mean()) / train.std(): None,
        lambda train, a: (
            (np.nan_to_num(a, nan=train.mean()) - train.mean()) / train.std(ddof=1)
        ): "by n − 1 in",
        lambda train, a: np.nan_to_num((a - np.nanmean(a)) / np.nanstd(a)): "that are to be scaled",
        lambda train, a: (a - train.mean()) / train.std(): "stays NaN",
        lambda train, a: (np.nan_to_num(a) - train.mean()) / train.std(): "counts as 0",
    },
    "17.2": {
        lambda m, share: int(np.ceil(1 / (1 - (1 - share) ** (1 / (m - 1))) - 1e-9)): None,
        lambda m, share: int(np.ceil(1 / (1 - (1 - share) ** (1 / m)) - 1e-9)): "with itself",
        lambda m, share: int(np.ceil(1 / (1 - (1 - share) ** (1 / (m - 1))) - 1e-9)) - 1: "one too few",
        lambda m, share: int(np.ceil((m - 1) / 2 / share - 1e-9)): "counts pairs",
    },
    "17.3": {
        lambda rows: before(rows): None,
        lambda rows: before(rows, own=True): "own points",
        lambda rows: rows.groupby("plant").points.transform("mean"): "all rows of the plant",
        lambda rows: before(rows).fillna(0): "and not 0",
        lambda rows: same_day(rows): "other rows of the same day",
    },
    "18.1": {
        lambda s, share: brentq(lambda b: expit(s + b).mean() - share, -40, 40): None,
        lambda s, share: logit(share) - logit(expit(s).mean()): "log-odds of means",
        lambda s, share: logit(share) - s.mean(): "mean of the scores",
        lambda s, share: -brentq(lambda b: expit(s + b).mean() - share, -40, 40): "wrong sign",
    },
    "18.2": {
        lambda p, y, group: (
            pd.Series(p).groupby(group).sum() / pd.Series(y).groupby(group).sum().replace(0, np.nan)
        ): None,
        lambda p, y, group: pd.Series(p).groupby(group).mean(): "not by the rows",
        lambda p, y, group: (
            pd.Series(y).groupby(group).sum().replace(0, np.nan) / pd.Series(p).groupby(group).sum()
        ): "other way round",
        lambda p, y, group: np.full(group.max() + 1, p.sum() / y.sum()): "of all rows",
    },
    "gallery.1": {
        lambda e, s: e - pd.Series(e).groupby(s).transform("mean"): None,
        lambda e, s: e - e.mean(): "all runs",
        lambda e, s: pd.Series(e).groupby(s).transform("mean"): "subtract them",
    },
    "gallery.2": {
        lambda e: np.argsort(np.argsort(e.mean(axis=1)))[e.argmin(axis=0)] + 1: None,
        lambda e: np.argsort(np.argsort(e.mean(axis=1)))[e.argmin(axis=0)]: "counted from 1",
        lambda e: e.argmin(axis=0): "numbers of the settings",
    },
    "one_training.1": {
        Given(33 * 5 + (2 * 4 + 1) * 5 + 6 + 1, fitted=FITTED): None,
        Given(33 * 5 + (2 * 4 + 1) * 5 + 6, fitted=FITTED): "one constant more",
        Given(31 * 5 + (2 * 4 + 1) * 5 + 6 + 1, fitted=FITTED): "id 0",
        Given(33 * 4 + (2 * 4 + 1) * 5 + 6 + 1, fitted=FITTED): "a weight besides",
    },
    "pace.1": {
        lambda rows, k, batch_size: (rows + rows * k) / batch_size: None,
        lambda rows, k, batch_size: rows * k / batch_size: "first order",
        lambda rows, k, batch_size: rows * (1 + k): "whole batch",
    },
    "strict_reading.1": {
        (json.dumps, json.loads): None,
        ("::".join, lambda line: line.split("::")): "Read again",
        (",".join, lambda line: line.split(",")): "Read again",
        json.dumps: "two functions",
    },
    "strict_reading.2": {
        lambda r, m, u: not (r.mid.isin(m.mid) & r.uid.isin(u.uid)).all(): None,
        lambda r, m, u: not r.mid.isin(m.mid).all(): "films only",
        lambda r, m, u: not r.uid.isin(u.uid).all(): "users only",
    },
}
"""Exercise -> answers, each with what is said of it; nothing for a right one."""


@pytest.fixture
def shown(monkeypatch):
    bundles = []
    monkeypatch.setattr(exercises, "display", lambda bundle, raw: bundles.append(bundle))
    monkeypatch.setattr(exercises, "_hints_given", {})
    return bundles


def test_every_exercise_has_answers_to_try():
    assert ANSWERS.keys() == checkers.EXERCISES.keys()
    for name, answers in ANSWERS.items():
        assert None in answers.values(), f"{name}: a right answer"
        assert len(set(answers.values()) - {None}) >= 2, f"{name}: two wrong ones, with messages of their own"


@pytest.mark.parametrize("name", ANSWERS)
def test_a_checker_tells_right_from_wrong(name, shown):
    for answer, said in ANSWERS[name].items():
        given = answer if isinstance(answer, Given) else Given(answer)
        exercises.check(name, given.answer, **given.about)
        verdict = shown.pop()
        outcome = verdict[exercises.CHECK_MIME]
        if said is None:
            assert outcome == {"exercise": name, "outcome": "right"}, verdict["text/plain"]
        else:
            assert outcome == {"exercise": name, "outcome": "wrong"}
            assert re.search(said, verdict["text/plain"]), verdict["text/plain"]
            assert f'hint("{name}")' in verdict["text/plain"]
            assert not re.search("see it with .*(an array|of shape)", verdict["text/plain"]), "show the input"


@pytest.mark.parametrize("stub", [..., None, lambda *_: ..., lambda *_: None])
def test_a_stub_is_not_attempted(stub, shown):
    for name, answers in ANSWERS.items():
        right = next(answer for answer, said in answers.items() if said is None)
        if callable(stub) and not callable(right):
            continue  # the answer is a value
        exercises.check(name, stub, **(right.about if isinstance(right, Given) else {}))
        assert shown.pop()["text/plain"] == f"○ Exercise {name}: not attempted yet"


@pytest.mark.parametrize(("gap", "example"), [(2, 2), (3, 3)])
def test_a_function_that_answers_something_is_no_stub(gap, example, shown):
    def signs(n):
        if n != gap:
            return [1, -1] if n == 2 else "impossible"

    exercises.check("6.3", signs)
    said = f"an answer to other inputs, but none here. You can see it with {example}."
    assert said in shown.pop()["text/plain"]


@pytest.mark.parametrize(
    ("rows", "example"),
    [
        (pd.DataFrame({"uid": range(2), "rating": 3.0}), "uid [0, 1]; rating [3.0, 3.0]"),
        (pd.Series([4, 5]), "[4, 5]"),
        (pd.DataFrame({"uid": range(500)}), "500 rows"),
    ],
)
def test_few_rows_are_shown_and_many_are_counted(rows, example):
    with pytest.raises(grading.Wrong) as wrong:
        grading.compare(len, [(rows,)], lambda _: -1)
    assert wrong.value.example == example


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_fails_is_told_so(name, shown):
    def fails(*_):
        raise ZeroDivisionError("by nought")

    right = next(answer for answer, said in ANSWERS[name].items() if said is None)
    if not callable(right):
        return
    for answer, said in ((fails, "raised ZeroDivisionError: by nought"), (7, "has to be a function")):
        exercises.check(name, answer)
        assert said in shown.pop()["text/plain"]


def test_an_answer_that_hangs_is_stopped(shown, monkeypatch):
    monkeypatch.setattr(grading, "SECONDS", 0.2)

    def hangs(*_):
        while True:
            with contextlib.suppress(Exception):
                time.sleep(0.01)

    exercises.check("4.1", hangs)
    assert "no answer after 0.2 seconds" in shown.pop()["text/plain"]


def test_an_answer_gets_copies(shown):
    def spoils(total, new):
        result = float(total @ new)
        total[:] = new[:] = 0
        return result

    exercises.check("4.1", spoils)
    assert shown.pop()[exercises.CHECK_MIME]["outcome"] == "right"


def test_hints_come_in_steps_and_the_last_one_stays(shown):
    hints = checkers.EXERCISES["4.1"].hints
    for _ in range(len(hints) + 1):
        exercises.hint("4.1")
    lines = [bundle["text/plain"] for bundle in shown]
    assert lines[0] == f"Hint 1 of {len(hints)}: {hints[0]}"
    assert lines[-1] == lines[-2] == f"Hint {len(hints)} of {len(hints)}: {hints[-1]}"


def test_an_unknown_exercise_is_an_error():
    for ask in (lambda: exercises.check("0.0", 1), lambda: exercises.hint("0.0")):
        with pytest.raises(ValueError, match=r"no exercise '0.0'; there are .*4\.1"):
            ask()


@pytest.mark.parametrize(
    ("found", "right", "said"),
    [
        (np.zeros(3), 1.0, "Expected is a number; yours is an array of numbers, of shape \\(3,\\)"),
        ("1", 1.0, "yours is a text"),
        (True, 1.0, "yours is True or False"),
        (2.0, 1.0, "not the right one. Yours is 2.0"),
        (float("nan"), 1.0, "not the right one"),
        ([[1], [1, 2]], np.ones(2), "uneven rows"),
    ],
)
def test_what_is_wrong_with_a_value_is_said_in_words(found, right, said):
    with pytest.raises(grading.Wrong, match=said):
        grading.judge(found, right)


def test_a_known_mistake_is_named_only_where_it_shows():
    with pytest.raises(grading.Wrong, match="half"):
        grading.judge(0.5, 1.0, {"This is half of it.": 0.5})
    grading.judge(1.0, 1.0, {"This is half of it.": 1.0})

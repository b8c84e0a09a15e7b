"""Measure what helps a DeepFM to make lists: recall and nDCG at 10 of chapter 12's rankers on validation rows.

    python -m benchmarks.ranking                                    # all trials, MovieLens-1M
    python -m benchmarks.ranking --data ml-100k "EASE, λ = 200"     # some trials

The split is chapter 12's with seed 1. A tenth of its training rows is held out for validation; the test rows are not
used. Each trial trains once and is stored in `results.json` as soon as it is measured. "DeepFM" always comes first, and
the others are compared with it user by user.
"""

import argparse
import time

import numpy as np
import pandas as pd

from benchmarks import results
from deepfm_helpers import (
    datasets,
    evaluation,
    features,
    models,
    neighbours,
    optimizers,
    ranking,
    recommending,
    training,
)
from deepfm_helpers._keras import keras
from deepfm_helpers.batches import Batches

SEED, N = 1, 10
STEPS, PASSES, ROWS = 600, 6, 10_000_000  # of a training; at most so many passes, and rows in all
DEEPFM = {
    "times": 10, "k": 32, "share": 15, "uid": False, "l2": 0.01, "dropout": 0.2, "layers": (64, 32),
    "learning_rate": 3e-3, "averaging": 0.99, "loss": "squared", "folds": 0,
}  # fmt: skip
"""Chapter 12's DeepFM on likes; each of the trials changes one thing."""

TRIALS = {
    "popular": {"rank": "popular"},
    "item cosine": {"rank": "cosine"},
    **{f"EASE, λ = {penalty}": {"rank": "ease", "penalty": penalty} for penalty in (100, 200, 400, 800)},
    "DeepFM": {},
    "taste without the film asked about": {"folds": 10},
    "3 films drawn for a like": {"times": 3},
    "half as many components": {"share": 30},
    "uid too": {"uid": True},
    "uid instead of taste": {"share": 0, "uid": True},
    "k = 8": {"k": 8},
    "no averaging": {"averaging": 0.0},
    **{f"l2 = {l2}": {"l2": l2} for l2 in (0.003, 0.03)},
    **{f"logistic loss, l2 = {l2}": {"loss": "logistic", "l2": l2} for l2 in (0.0003, 0.001, 0.003, 0.01)},
}


class Split:
    """Chapter 12's training rows, split into rows to fit and validation rows."""

    def __init__(self, name: str):
        self.data = data = datasets.load(name)
        train, _ = features.split_rows(ranking.set_apart(data, SEED).known, 0.1, seed=SEED)
        self.fit, valid = features.split_rows(train, 0.1, seed=SEED)
        self.users, self.films = np.unique(self.fit.uid), np.sort(data.movies.mid.to_numpy())
        rated = neighbours.as_matrix(self.fit, self.users, self.films).toarray()
        self.counts = rated.sum(axis=0)
        self.allowed = (rated == 0) & (self.counts > 0)
        self.relevant = ranking.liked(valid, self.users, self.films)
        self.x = neighbours.as_matrix(self.fit[self.fit.rating >= ranking.LIKED], self.users, self.films)

    def scores(self, rank: str = "deepfm", penalty: float = 0.0, **options) -> np.ndarray:
        """Compute the scores of all films for all users, (users, films), with one of the rankers."""
        if rank == "popular":
            return np.broadcast_to(self.counts, self.allowed.shape)
        if rank == "cosine":
            return self.x @ neighbours.cosine(self.x)
        if rank == "ease":
            return self.x @ neighbours.ease(self.x, penalty)
        model, fields = self.deepfm(**{**DEEPFM, **options})
        return recommending.TwoSides(model, self.data, fields, self.fit).scores(self.users)

    def deepfm(
        self, times, k, share, uid, l2, dropout, layers, learning_rate, averaging, loss, folds,
    ):  # fmt: skip
        """Train a DeepFM on liked and drawn films; return it and its fields."""
        training.set_seed(SEED)
        rows = ranking.liked_or_drawn(self.fit, times, SEED)
        fields = tuple(f for f in features.describe(self.data) if uid or f.name != "uid")
        if share:
            components = min(250, len(self.films) // share)
            others, rows = self.folded(rows, folds) if folds else (None, rows)
            likes = self.fit[self.fit.rating >= ranking.LIKED]
            fields += (neighbours.taste(self.data, likes, components, SEED, others),)
        mean = float(rows.rating.mean())
        *_, model = models.deep_fm_model(
            features=fields, k=k, dnn_dim=layers, dnn_dr=dropout, l2=l2,
            mean_rating=mean if loss == "squared" else float(np.log(mean / (1 - mean))),
        )  # fmt: skip
        passes = min(PASSES, max(1, ROWS // len(rows)))
        xy, batch_size = features.df2xy(rows, fields), -(-len(rows) * passes // STEPS)
        if loss == "squared":
            training.train(
                model, xy, epochs=passes, batch_size=batch_size, learning_rate=learning_rate,
                averaging=averaging, seed=SEED,
            )  # fmt: skip
            return model, fields
        batches = Batches(*xy, batch_size, SEED)
        model.compile(
            optimizer=optimizers.FusedAdam(
                learning_rate, use_ema=averaging > 0, ema_momentum=averaging or 0.99
            ),
            loss=keras.losses.BinaryCrossentropy(from_logits=True),
            steps_per_execution=16,
        )
        for batches.epoch in range(passes):
            model.fit(batches.dataset(), shuffle=False, verbose=0)
        model.optimizer.finalize_variable_values(model.trainable_variables)
        return model, fields

    def folded(self, rows: pd.DataFrame, folds: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Take the film that a row asks about out of the taste that answers.

        The likes fall into folds. For each user and each fold there is another person, who has all of the user's
        likes but those of the fold.

        Returns:
            The likes of these people, and the rows, each asked of one of them: a liked film of the person without
            its fold, a drawn one of any.
        """
        fold = np.random.default_rng(SEED).integers(folds, size=len(rows))
        liked = rows.rating == 1
        first = 1 + self.data.users.uid.max()
        uid = rows.uid + first
        people = [rows[liked & (fold != f)].assign(uid=uid + first * f) for f in range(folds)]
        return pd.concat(people), rows.assign(uid=uid + first * fold)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("trials", nargs="*", help="names of TRIALS; all by default")
    parser.add_argument("--data", default="ml-1m", help="ml-1m (default) or ml-100k")
    o = parser.parse_args()
    split, deepfm = Split(o.data), None
    for name in dict.fromkeys(["DeepFM", *(o.trials or TRIALS)]):
        start = time.perf_counter()
        scores = split.scores(**TRIALS[name])
        seconds = time.perf_counter() - start
        lists = ranking.best(np.where(split.allowed, scores, -np.inf), N)
        by_user = ranking.by_user(lists, split.relevant)
        figures = {**by_user.mean(), "recall_half": 1.96 * by_user.recall.sem()}
        deepfm = by_user if deepfm is None else deepfm
        for metric in by_user if name != "DeepFM" else ():
            gap = evaluation.paired_difference(by_user[metric], deepfm[metric])
            figures |= {f"{metric}_{end}": gap[end] for end in ("difference", "low", "high")}
        rows = [
            results.row("ranking", name, o.data, metric, [value], seconds, results.machine())
            for metric, value in figures.items()
        ]
        results.store(rows)
        print(results.table(rows), flush=True)


if __name__ == "__main__":
    main()

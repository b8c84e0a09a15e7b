"""What every system is given: the training rows and test rows of a split, and the fields."""

import pandas as pd

from deepfm_helpers import datasets, features

HOW = ("random", "valid", "time", "past", "u1")


def fields(data: datasets.MovieLens) -> tuple[features.Feature, ...]:
    """Describe the fields that the systems of a comparison get: those of the book's DeepFM without history."""
    from deepfm_helpers import recipes

    return features.describe(data, **recipes.WITHOUT_HISTORY["describe"])


def load(name: str, how: str, seed: int) -> tuple[datasets.MovieLens, pd.DataFrame, pd.DataFrame]:
    """Return the dataset, its joined training rows and its joined test rows.

    Args:
        name: "ml-1m" or "ml-100k".
        how: "random" holds out a tenth of the rows, drawn with the seed; "valid" holds out a tenth of those that are
            left, to choose settings by; "time" holds out the latest tenth; "past" holds out the latest tenth of those
            that this leaves, to choose settings by; "u1" is the split published with MovieLens-100K, whose folder must
            hold `u1.test`.
        seed: seed of the draw.

    Raises:
        ValueError: `how` is unknown, or is "u1" for another dataset.
        FileNotFoundError: `u1.test` is not in the folder.
    """
    data = datasets.load(name)
    joined = datasets.join(data.ratings, data.movies, data.users)
    if outer := {"valid": "random", "past": "time"}.get(how):
        joined, how = features.split_rows(joined, 0.1, seed=seed, by=outer)[0], outer
    if how in ("random", "time"):
        return data, *features.split_rows(joined, 0.1, seed=seed, by=how)
    if how != "u1" or name != "ml-100k":
        raise ValueError(f"no split {how} of {name}: choose random or time, or u1 of ml-100k")
    file = datasets.locate(name)[0] / "u1.test"
    if not file.exists():
        raise FileNotFoundError(f"{file.name} is not in the folder of {name}; the official archive holds it")
    held = pd.read_csv(file, sep="\t", names=["uid", "mid", "rating", "timestamp"])
    pairs = pd.MultiIndex.from_frame(joined[["uid", "mid"]])
    out = pairs.isin(pd.MultiIndex.from_frame(held[["uid", "mid"]]))
    return data, joined[~out], joined[out]

"""What the task clicks compares: the settings that are tried on validation rows, and those that were chosen there.

The settings of each system are tried on the validation rows of split 1, and the one with the lowest log-loss is chosen.
Six come from a grid. The others go on from the best of these: DeepCTR and FuxiCTR do best with the largest penalty of
the grid, so that larger ones follow, beyond the one that does best; DeepCTR, which no larger one has helped, gets a
lower rate, and LightGBM a lower rate and larger trees.

The book's own models take the recipes of chapter 11, which were chosen for ratings. For clicks a factor on all their
penalties, the number of epochs and the number of branches are tried anew.
"""

from itertools import product

NETWORK = {"epochs": 50}
SIX, FULL = {"fields": "no history or time", "k": 24}, {"fields": "full, no day", "k": 24}
TREES = {"rounds": 5000, "rounds_without_gain": 50}


def _named(system: str, module: str, fixed: dict, settings: list[dict]) -> dict[str, tuple[str, dict]]:
    """Return the entries of `TRIED` of a system; `fixed` is part of all its settings and of none of their names."""

    def name(setting: dict) -> str:
        return ", ".join(
            [system, *(f"{what.replace('_', ' ')} {value:g}" for what, value in setting.items())]
        )

    return {name(setting): (module, fixed | setting) for setting in settings}


def _grid(**values: list) -> list[dict]:
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


PENALTIES = _grid(l2=[1e-6, 1e-5, 1e-4], dropout=[0.0, 0.3], learning_rate=[1e-3])
STRONGER = _grid(l2=[3e-4], dropout=[0.0], learning_rate=[1e-3])
ONE = _grid(penalty=[0.2, 0.3, 0.45], epochs=[10, 14], branches=[1])
TWO = _grid(penalty=[0.2, 0.3, 0.45, 0.6], epochs=[14], branches=[2])
TRIED = {
    **_named("DeepCTR", "deepctr_clicks", NETWORK, PENALTIES + STRONGER),
    **_named("DeepCTR", "deepctr_clicks", NETWORK, _grid(l2=[1e-4], dropout=[0.0], learning_rate=[3e-4])),
    **_named("FuxiCTR", "fuxictr", NETWORK, PENALTIES + STRONGER),
    **_named(
        "FuxiCTR", "fuxictr", NETWORK, _grid(l2=[1e-3, 3e-3, 1e-2, 3e-2], dropout=[0.0], learning_rate=[1e-3])
    ),
    **_named(
        "LightGBM", "lightgbm", TREES, _grid(leaves=[31, 127], smoothing=[2, 5, 20], learning_rate=[0.1])
    ),
    **_named("LightGBM", "lightgbm", TREES, _grid(leaves=[127], smoothing=[5], learning_rate=[0.03])),
    **_named("LightGBM", "lightgbm", TREES, _grid(leaves=[255], smoothing=[5], learning_rate=[0.1])),
    **_named("DeepFM", "book_clicks", SIX, ONE + TWO),
    **_named("DeepFM full", "book_clicks", FULL, ONE + TWO),
}
"""System and setting -> its module in systems/, and what it is asked on top of `run.ARCHITECTURE`."""

CHOSEN = {
    "DeepFM": TRIED["DeepFM, penalty 0.45, epochs 14, branches 2"],
    "DeepFM, one network": TRIED["DeepFM, penalty 0.45, epochs 14, branches 1"],
    "DeepFM full": TRIED["DeepFM full, penalty 0.3, epochs 14, branches 2"],
    "DeepFM full, one network": TRIED["DeepFM full, penalty 0.3, epochs 10, branches 1"],
    "DeepCTR": TRIED["DeepCTR, l2 0.0001, dropout 0, learning rate 0.001"],
    "FuxiCTR": TRIED["FuxiCTR, l2 0.003, dropout 0, learning rate 0.001"],
    "LightGBM": TRIED["LightGBM, leaves 127, smoothing 5, learning rate 0.03"],
}
"""System -> the one of its `TRIED` settings that is measured on the test rows; of the book's, also the best without
branches."""

BY_SPLIT = {"random": CHOSEN, "valid": TRIED}
"""Way to split -> what is measured there. What is only tried never sees the test rows."""

ALL = TRIED | CHOSEN

"""What the task clicks compares: the settings that are tried on validation rows, and those that were chosen there.

Eight settings of each system are tried, on the validation rows of split 1; the one with the lowest log-loss is chosen.
Six come from a grid. The last two change the best of these: for DeepCTR and FuxiCTR …
"""

from itertools import product

NETWORK = {"epochs": 50}
TREES = {"rounds": 5000, "rounds_without_gain": 50}


def _named(system: str, module: str, fixed: dict, settings: list[dict]) -> dict[str, tuple[str, dict]]:
    def name(setting: dict) -> str:
        return ", ".join(
            [system, *(f"{what.replace('_', ' ')} {value:g}" for what, value in setting.items())]
        )

    return {name(setting): (module, fixed | setting) for setting in settings}


def _grid(**values: list) -> list[dict]:
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


REGULARIZED = [
    *_grid(l2=[1e-6, 1e-5, 1e-4], dropout=[0.0, 0.3], learning_rate=[1e-3]),
    *_grid(l2=[3e-4], dropout=[0.0], learning_rate=[1e-3]),
    *_grid(l2=[1e-4], dropout=[0.0], learning_rate=[3e-4]),
]
BOOSTED = [
    *_grid(leaves=[31, 127], smoothing=[2, 5, 20], learning_rate=[0.1]),
]
TRIED = {
    **_named("DeepCTR", "deepctr_clicks", NETWORK, REGULARIZED),
    **_named("FuxiCTR", "fuxictr", NETWORK, REGULARIZED),
    **_named("LightGBM", "lightgbm", TREES, BOOSTED),
}
"""System and setting -> its module in systems/, and what it is asked on top of `run.ARCHITECTURE`."""

CHOSEN = {
    "DeepCTR": TRIED["DeepCTR, l2 1e-05, dropout 0, learning rate 0.001"],
    "FuxiCTR": TRIED["FuxiCTR, l2 1e-05, dropout 0, learning rate 0.001"],
    "LightGBM": TRIED["LightGBM, leaves 31, smoothing 5, learning rate 0.1"],
}
BY_SPLIT = {"random": CHOSEN, "valid": TRIED}
ALL = TRIED | CHOSEN

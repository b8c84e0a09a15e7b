"""The comparison of records accepts the digits of another processor and tells every other difference."""

import pytest

from deepfm_helpers.press.comparing import unlike


@pytest.mark.parametrize(
    ("stored", "fresh", "within"),
    [
        (
            {"n": 3, "name": "uid", "on": True, "no": None},
            {"n": 3, "name": "uid", "on": True, "no": None},
            None,
        ),
        ({"sum": 0.00316903027808646}, {"sum": 0.00316903027808579}, None),
        ({"zero": 0.0}, {"zero": 2e-16}, None),
        ({"losses": [1.0, 0.5]}, {"losses": [1.0 + 1e-9, 0.5]}, None),
        ({"rmse": 0.921}, {"rmse": 0.925}, 0.01),
        ({"best_epoch": 6}, {"best_epoch": 8}, 2),
        ({"by": {"all": [0.9, 0.8]}}, {"by": {"all": [0.91, 0.79]}}, 0.02),
    ],
)
def test_a_record_agrees_with_one_of_another_processor(stored, fresh, within):
    assert list(unlike(stored, fresh, within)) == []


@pytest.mark.parametrize(
    ("stored", "fresh", "within", "told"),
    [
        ({"n": 1_000_000}, {"n": 1_000_001}, None, "1000001"),
        ({"n": 3}, {"n": 4}, 0.5, "stored 3, in this run 4"),
        ({"name": "uid"}, {"name": "mid"}, 9.0, "'mid'"),
        ({"on": True}, {"on": False}, 9.0, "False"),
        ({"on": True}, {"on": 1}, 9.0, "in this run 1"),
        ({"no": None}, {"no": 0.0}, 9.0, "None"),
        ({"sum": 0.5}, {"sum": 0.500001}, None, "0.500001"),
        ({"rmse": 0.921}, {"rmse": 0.932}, 0.01, "within 0.01"),
        ({"rmse": 0.9, "mae": 0.7}, {"rmse": 0.9}, 1.0, "record['mae'] is stored"),
        ({"rmse": 0.9}, {"rmse": 0.9, "mae": 0.7}, 1.0, "record['mae'] of this run"),
        ({"losses": [1.0, 0.5]}, {"losses": [1.0]}, 1.0, "[1.0]"),
        ({"losses": [1.0, 0.5]}, {"losses": [1.0, 0.7]}, 0.1, "record['losses'][1]"),
        ({"by": {"a": 1.0}}, {"by": 1.0}, 1.0, "in this run 1.0"),
    ],
)
def test_a_record_that_is_wrong_is_told(stored, fresh, within, told):
    (problem,) = unlike(stored, fresh, within)
    assert told in problem

"""The conditions of the stage "other numerics": they act, and where they do not, the stage does not pass."""

import other_numerics
import pytest
import run_all


def test_every_library_computes_other_digits_under_other_numerics():
    other_numerics.require_effect()


def test_conditions_without_effect_are_refused_by_name(monkeypatch):
    monkeypatch.setattr(other_numerics, "environment", dict)
    with pytest.raises(RuntimeError, match="OpenBLAS and NumPy and TensorFlow computes the same"):
        other_numerics.require_effect()


def test_a_stage_is_not_run_under_conditions_without_effect(monkeypatch):
    monkeypatch.setattr(other_numerics, "environment", dict)
    verdict, last = run_all.run_stage("other numerics", as_elsewhere=True)
    assert verdict == "FAILED"
    assert "the same digits" in last


def test_a_machine_that_cannot_compute_as_another_leaves_the_stage_out(monkeypatch):
    monkeypatch.setattr(other_numerics.platform, "machine", lambda: "arm64")
    verdict, last = run_all.run_stage("other numerics", as_elsewhere=True)
    assert verdict == "left out"
    assert "arm64" in last

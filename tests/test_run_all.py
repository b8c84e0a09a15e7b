"""The stage "other numerics" changes digits in every library, and does not pass where it cannot."""

import platform

import other_numerics
import pytest
import run_all


def test_every_library_computes_other_digits_under_other_numerics():
    other_numerics.require_effect(other_numerics.environment())


def test_conditions_that_spare_a_library_are_refused_and_name_it():
    spared = other_numerics.environment()
    del spared["OPENBLAS_CORETYPE"], spared["OMP_NUM_THREADS"]
    with pytest.raises(RuntimeError, match="as without: OpenBLAS$"):
        other_numerics.require_effect(spared)


def test_a_stage_is_not_run_under_conditions_without_effect():
    verdict, last = run_all.run_stage("other numerics", {"MEANINGLESS": "1"})
    assert verdict == "FAILED"
    assert last.endswith("as without: OpenBLAS, NumPy, TensorFlow")


def test_a_machine_that_cannot_compute_as_another_leaves_the_stage_out(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    verdict, last = run_all.run_stage("other numerics", {"MEANINGLESS": "1"})
    assert verdict == "left out"
    assert "arm64" in last

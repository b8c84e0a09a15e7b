"""The stage "other numerics" changes digits in every library, and does not pass where it cannot."""

import platform

import other_numerics
import pytest
import run_all
import shares


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


def test_three_commits_share_a_long_check_between_them(monkeypatch):
    names = ["a", "b", "c", "d", "e"]
    assert [shares.share(names, commit) for commit in ("a2", "7f", "1d")] == [["a", "d"], ["b", "e"], ["c"]]
    monkeypatch.setenv("WHOLE", "1")
    assert shares.share(names) == names


def test_the_stage_other_numerics_takes_the_notebooks_of_its_share(monkeypatch):
    monkeypatch.setattr(run_all.other_numerics, "require_effect", lambda variables: None)
    monkeypatch.setattr(shares, "share", lambda names: names[1:3])
    asked = []
    monkeypatch.setattr(run_all, "run", lambda arguments, variables: asked.extend(arguments) or (True, ""))
    run_all.run_stage("other numerics", {"A": "1"})
    assert [part for part in asked if part.startswith("notebooks")] == [
        "notebooks/02_genre_multi_hot.ipynb",
        "notebooks/03_first_order.ipynb",
    ]

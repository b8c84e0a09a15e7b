"""From a table of your own to a judged model, scores and lists: guests rate or order dishes, and stocks have prices."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import cbook

from deepfm_helpers import anatomy, clicks, evaluation, features, models, recommending, saving
from deepfm_helpers.own import data, fitting, judging, keeping, lists, progress, scoring
from deepfm_helpers.schema import DataError
from deepfm_helpers.sweeps import cli

TOML = """
task = "{task}"
repeats = true

[rows]
files = ["log.csv"]
user = "guest"
item = "dish"
target = "{target}"
{range}

[rows.columns]
guest = "single"
dish = "single"
meal = "single"
{target} = "numeric"

[users]
files = ["guests.csv"]
key = "guest"

[users.columns]
guest = "single"
diet = "single"
age = "numeric"

[items]
files = ["dishes.csv"]
key = "dish"

[items.columns]
dish = "single"
cook = "text"
name = "text"
kind = "single"
spices = {{kind = "multi", separator = "|", none = "none"}}
price = "numeric"
"""
TASKS = {
    "points": {"task": "rating", "target": "points", "range": "range = [0, 100]"},
    "ordered": {"task": "click", "target": "ordered", "range": ""},
}


def dishes(folder: Path, target: str, n: int = 3000) -> Path:
    """Writes a dataset: guests like dishes of their diet, which they rate ("points") or order ("ordered")."""
    rng = np.random.default_rng(0)
    guests = pd.DataFrame({"guest": [f"g{i}" for i in range(60)], "diet": rng.choice(["vegan", "fish"], 60)})
    guests["age"] = pd.Series(rng.integers(18, 80, 60)).mask(rng.random(60) < 0.1)
    menu = pd.DataFrame({"dish": [f"d{i}" for i in range(30)], "cook": "C"})
    menu["name"] = [f"Dish {i}" for i in range(30)]
    menu["kind"] = rng.choice(["vegan", "fish"], 30)
    menu["spices"] = rng.choice(["chili|mint", "chili", "none"], 30)
    menu["price"] = rng.gamma(3, 4, 30).round(2)
    at, on = rng.integers(0, 60, n), rng.integers(0, 30, n)
    liking = 1.5 - 3 * (guests.diet.to_numpy()[at] != menu.kind.to_numpy()[on]) + rng.normal(0, 0.5, 30)[on]
    rows = pd.DataFrame({"guest": guests.guest[at].to_numpy(), "dish": menu.dish[on].to_numpy()})
    rows["meal"] = rng.choice(["lunch", "dinner"], n)
    if target == "ordered":
        rows["ordered"] = (rng.random(n) < 1 / (1 + np.exp(-liking))).astype(int)
    else:
        rows["points"] = np.clip(50 + 12 * liking + rng.normal(0, 5, n), 0, 100).round(1)
    folder.mkdir(parents=True)
    for name, frame in {"log": rows, "guests": guests, "dishes": menu}.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    (folder / "dataset.toml").write_text(TOML.format(**TASKS[target]), encoding="utf-8")
    return folder


def called(capsys, *arguments) -> tuple[int, str, list[str]]:
    """Runs a command; returns its code, what it printed, and its errors without the notes that libraries cause."""
    code = cli.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, [line for line in err.splitlines() if not line.startswith("note: ")]


def deepfm(capsys, *arguments) -> str:
    """Runs a command that has to succeed, and returns what it printed."""
    code, printed, errors = called(capsys, *arguments)
    assert (code, errors) == (0, [])
    return printed


def refused(capsys, *arguments) -> str:
    """Runs a command that has to fail, and returns the one line that says why."""
    code, _, (line,) = called(capsys, *arguments)
    assert code == 1
    assert line.startswith("error: ")
    return line


@pytest.fixture(scope="module", params=["points", "ordered"])
def made(request, tmp_path_factory):
    """A folder with a dataset and the model that `deepfm fit` made of it, and what it printed."""
    folder = dishes(tmp_path_factory.mktemp("made") / request.param, request.param)
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert cli.main(["fit", str(folder), "--k", "4", "--epochs", "12"]) == 0
    return folder, out.getvalue()


# --- fit


def test_fit_beats_the_simple_predictions_and_says_what_it_did(made):
    folder, printed = made
    report = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    figures = pd.DataFrame(report["test"]).T
    if report["task"] == "rating":
        assert list(figures.index) == ["the mean", "mean + offsets of user and item", "DeepFM"]
        assert figures.rmse["DeepFM"] < 0.6 * figures.rmse.drop("DeepFM").min()
        assert figures.mae["DeepFM"] < figures.rmse["DeepFM"] < 9  # points; the noise has 5
    else:
        assert list(figures.index) == ["the share of ones", "logistic regression", "DeepFM"]
        assert figures.log_loss["DeepFM"] < figures.log_loss["logistic regression"] - 0.05
        assert figures.auc["DeepFM"] > figures.auc["logistic regression"] + 0.1
        assert figures.auc["the share of ones"] == 0.5
        assert 1 <= figures.normalised_entropy["the share of ones"] < 1.1
    assert report["rows"] == {"train": 2400, "validation": 300, "test": 300}
    assert report["fields"] == ["uid", "mid", "diet", "age", "kind", "spices", "price", "meal"]
    assert report["fingerprint"] == data.read(folder).provenance.fingerprint
    ((_, curve),) = report["validation"].items()
    assert curve.index(min(curve)) + 1 == report["epochs"] <= len(curve) <= 12
    assert "2,400 train, 300 validation, 300 test rows; the task is" in printed
    assert f"the validation rows chose {report['epochs']} of {len(curve)} epochs" in printed
    assert f"{figures.loc['DeepFM'].iloc[0]:.4f}" in printed
    assert f"written: {folder / 'model.keras'}" in printed
    assert f"next: deepfm score {folder / 'model.keras'} ROWS.csv --folder {folder}" in printed
    assert sorted(p.name for p in folder.iterdir() if p.name[0] == ".") == []


def test_the_figures_are_those_of_the_model_in_the_file(made):
    folder, _ = made
    own, report = data.read(folder), json.loads((folder / "model.json").read_text(encoding="utf-8"))
    model, fields = saving.load(folder / "model.keras")
    assert fields == own.fields(own.learned())  # trained again, on training and validation rows
    x, y = features.df2xy(own.split()[2], fields)
    predicted = np.clip(evaluation.predict(model, x), *own.range)
    measure = {"rmse": evaluation.rmse, "log_loss": clicks.log_loss}[report["decisive"]]
    assert measure(y, predicted) == pytest.approx(report["test"]["DeepFM"][report["decisive"]], rel=1e-5)


def test_a_fresh_process_reads_the_model_without_a_word_of_own_fields(made):
    folder, _ = made
    code = f"from deepfm_helpers import saving; print(len(saving.load({str(folder / 'model.keras')!r})[1]))"
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout == "8\n"


@pytest.mark.parametrize("by", ["random", "user", "time"])
def test_the_recipe_draws_the_validation_rows_of_the_dataset(by):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"user": rng.integers(0, 30, 500), "item": rng.integers(0, 9, 500), "when": range(500)}
    )
    rows["rating"] = rng.integers(1, 6, 500)
    split = {"by": by, "validation": 0.2, "test": 0.3, "seed": 5}
    own = data.from_frames(rows, time="when", repeats=True, split=split)
    kept, valid = features.split_rows(own.learned(), seed=5, **fitting.recipe_of(own)["split"])
    train, validation, _ = own.split()
    assert (kept.index.tolist(), valid.index.tolist()) == (train.index.tolist(), validation.index.tolist())


def test_batches_averages_and_penalties_suit_the_dataset():
    def recipe(n, task="rating"):
        rows = pd.DataFrame({"user": range(n), "item": 1, task: np.arange(n) % 2})
        return fitting.recipe_of(data.from_frames(rows, task=task))

    small, large, clicks = recipe(200), recipe(300_000), recipe(200, "click")
    assert (small["training"]["batch_size"], large["training"]["batch_size"]) == (160, 8192)
    assert small["training"]["averaging"] == 0.95  # two epochs of ten steps
    assert large["training"]["averaging"] == 0.995
    assert (small["penalty"]["times"], clicks["penalty"]["times"]) == (1.0, fitting.TIMES_FOR_CLICKS)


def test_a_factor_on_the_weights_multiplies_the_score_and_each_part():
    fields = [
        features.Feature("uid", "single", "uid", 5),
        features.Feature("size", "numeric", "size"),
        features.Feature("kind", "multi", "kind", 4, slots=2, pooling="multi_hot"),
        features.Feature("zip", "single", "zip", 3, wide=True),
    ]
    rng = np.random.default_rng(0)
    x = [rng.integers(0, 6, (9, 1)), rng.normal(size=(9, 1)).astype("f4"), rng.integers(0, 5, (9, 2)),
         rng.integers(0, 4, (9, 1))]  # fmt: skip
    for hidden in ((), (6,), (6, 5)):
        *_, model = models.deep_fm_model(
            features=fields, k=3, dnn_dim=hidden, mean_rating=3.5, embedding_spread=0.5, numeric_bias=True
        )
        before = evaluation.parts(model, x)
        fitting.in_units(model, fields, 20.0)
        pd.testing.assert_frame_equal(evaluation.parts(model, x), 20 * before, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(evaluation.predict(model, x), 20 * before.sum(axis=1), rtol=1e-4)


def test_the_unit_of_the_ratings_does_not_matter(tmp_path):
    own = data.read(dishes(tmp_path / "d", "points", 600))
    rows = own.rows[["uid", "mid", "rating"]].rename(columns={"uid": "user", "mid": "item"})

    def figures(factor):
        frame = rows.assign(rating=rows.rating.astype("f8") * factor)
        made = fitting.fit(
            data.from_frames(frame, own.users.rename(columns={"uid": "user"}), repeats=True), epochs=2, k=2
        )
        return made.figures / factor, made.validation["val_rmse"][0] / factor

    one, many = figures(1.0), figures(2.0**10)
    pd.testing.assert_frame_equal(many[0], one[0], rtol=1e-3)
    assert many[1] == pytest.approx(one[1], rel=1e-3)


def test_a_table_of_two_dozen_rows_and_one_without_a_pattern(tmp_path, capsys):
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"user": rng.integers(0, 9, 24), "item": rng.integers(0, 9, 24)})
    rows["click"] = rng.permutation([0, 1] * 12)
    rows.to_csv(tmp_path / "log.csv", index=False)
    deepfm(capsys, "describe", tmp_path, "--write")
    printed = deepfm(
        capsys, "fit", tmp_path, "--epochs", 1, "--seed", 3, "--out", tmp_path / "deep" / "m.keras"
    )
    report = json.loads((tmp_path / "deep" / "m.json").read_text(encoding="utf-8"))
    losses = {name: row["log_loss"] for name, row in report["test"].items()}
    margin = report["margin"]
    ours = losses.pop("DeepFM")
    assert margin["rival"] == min(losses, key=losses.get)
    assert margin["mean"] == pytest.approx(losses[margin["rival"]] - ours)
    assert margin["low"] is None  # two test rows of one user
    assert "a single user: no interval" in printed
    assert "not clearly better than" in printed
    assert report["seed"] == 3
    assert "--folder" not in printed  # there are no tables of users and items


@pytest.mark.parametrize("task", ["rating", "click"])
def test_a_margin_is_a_difference_of_errors_whose_interval_other_users_would_give(task):
    rng = np.random.default_rng(2)
    users = rng.integers(0, 150, 3000)
    taste = rng.normal(0, 1, 150)[users]  # which makes the rows of a user alike
    if task == "rating":
        y = 3 + taste + rng.normal(0, 1, 3000)
        everyone = {"poor": np.full(3000, 2.0), "mean": np.full(3000, 3.0), "model": 3 + 0.3 * taste}
    else:
        y = (rng.random(3000) < 1 / (1 + np.exp(-taste))).astype("float64")
        everyone = {"poor": np.full(3000, 0.9), "mean": np.full(3000, 0.5)}
        everyone["model"] = 1 / (1 + np.exp(-0.3 * taste))
    found = judging.margin(task, y, users, everyone)
    assert found.rival == "mean"

    def ahead(rows):
        error = judging.measured(task, y[rows], {name: p[rows] for name, p in everyone.items()})
        error = error[judging.DECISIVE[task]]
        return error["mean"] - error["model"]

    assert found.mean == pytest.approx(ahead(np.arange(3000)))
    of = [np.flatnonzero(users == user) for user in range(150)]
    again = [ahead(np.concatenate([of[user] for user in rng.integers(0, 150, 150)])) for _ in range(300)]
    assert [found.low, found.high] == pytest.approx(
        np.quantile(again, [0.025, 0.975]), abs=0.15 * np.ptp(again)
    )
    alone = judging.margin(task, y, np.zeros(3000), everyone)
    assert alone.mean == found.mean
    assert np.isnan([alone.low, alone.high]).all()


def test_a_fit_that_cannot_end_well_is_refused_before_it_starts(made, capsys, monkeypatch, tmp_path):
    folder, _ = made
    monkeypatch.setattr(fitting, "fit", None)  # nothing may be trained
    assert "ends in .keras" in refused(capsys, "fit", folder, "--out", tmp_path / "model.h5")
    assert "there is no such folder" in refused(capsys, "fit", tmp_path / "nowhere")
    assert "deepfm describe proposes" in refused(capsys, "fit", tmp_path)
    for option in (["--seed", "-1"], ["--k", "0"], ["--epochs", "x"]):
        with pytest.raises(SystemExit):
            cli.main(["fit", str(folder), *option])
        assert "is not a whole number" in capsys.readouterr().err


def test_prices_of_stocks_are_a_table_of_years_and_companies(tmp_path):
    prices = pd.read_csv(cbook.get_sample_data("Stocks.csv", asfileobj=False), comment="#").dropna(
        how="all", axis=1
    )
    rows = prices.melt("Date", var_name="company", value_name="price").dropna()
    rows["year"], rows["month"] = rows.Date.str[:4].astype(int), rows.Date.str[5:7].astype(int)
    rows["price"] = np.log10(rows.price)
    own = data.from_frames(
        rows.drop(columns="Date"), user="year", item="company", target="price", repeats=True,
        columns={"month": "numeric", "year": {"kind": "single", "whole": True}},
    )  # fmt: skip
    made = fitting.fit(own, epochs=15, k=4)
    assert made.figures.rmse["DeepFM"] < 0.8 * made.figures.rmse["mean + offsets of user and item"]
    assert [(f.name, f.owner) for f in made.fields] == [("uid", "user"), ("mid", "film"), ("month", "rating")]

    # A model of frames is kept like one of files.
    report = keeping.save(made, tmp_path / "stocks.keras")
    assert json.loads(report.read_text(encoding="utf-8"))["dataset"] == "frames"
    kept = keeping.load(tmp_path / "stocks.keras")
    assert kept.layout == own.layout
    rows.head(9).to_csv(tmp_path / "new.csv", index=False)
    predicted = scoring.scores(kept, scoring.read(kept, tmp_path / "new.csv"))
    np.testing.assert_allclose(predicted, rows.price.head(9), atol=0.5)
    assert set(lists.table(kept, own, 1994, 30).company) == set(rows.company) - set(
        rows.company[rows.year == 1994]
    )


# --- measures


def test_models_of_clicks_stand_beside_the_share_of_ones():
    train, test = pd.DataFrame({"rating": [0, 0, 0, 1]}), pd.DataFrame({"rating": [0, 1]})
    figures = judging.figures("click", train, test, {"m": np.array([0.5, 0.5])})
    share = -(np.log(0.75) + np.log(0.25)) / 2
    assert figures.log_loss.tolist() == pytest.approx([share, np.log(2)])
    assert figures.auc.tolist() == [0.5, 0.5]
    assert figures.normalised_entropy.tolist() == pytest.approx([share / np.log(2), 1.0])
    alike = judging.figures("click", train, test.assign(rating=1), {"m": np.array([0.5, 0.5])})
    assert alike.log_loss.tolist() == pytest.approx([-np.log(0.25), np.log(2)])
    assert alike[["auc", "normalised_entropy"]].isna().all(axis=None)


# --- score


def flat(folder: Path) -> pd.DataFrame:
    """The rows of a dataset with all columns of their guests and dishes."""
    log, guests, menu = (pd.read_csv(folder / f"{name}.csv") for name in ("log", "guests", "dishes"))
    return log.merge(guests, on="guest").merge(menu, on="dish")


def test_scores_are_the_predictions_of_the_model_from_one_table_or_three(made, tmp_path, capsys):
    folder, _ = made
    own, target = data.read(folder), folder.name
    model, fields = saving.load(folder / "model.keras")
    rows = own.rows.head(200)
    expected = np.clip(evaluation.predict(model, [f.encode(rows) for f in fields]), *own.range)
    log = pd.read_csv(folder / "log.csv").head(200)
    log.drop(columns=target).to_csv(tmp_path / "new.csv", index=False)
    flat(folder).head(200).assign(note="x").to_csv(
        tmp_path / "flat.csv", index=False
    )  # with the target, a note
    name = "score" if target == "points" else "probability"
    for options in (["new.csv", "--folder", folder], ["flat.csv"]):
        out = tmp_path / "scores.csv"
        printed = deepfm(
            capsys, "score", folder / "model.keras", tmp_path / options[0], *options[1:], "--out", out
        )
        found = pd.read_csv(out)
        assert list(found) == ["guest", "dish", name]
        assert found.guest.tolist() == log.guest.tolist()
        np.testing.assert_allclose(found[name], expected, rtol=1e-4)
        assert printed.startswith("200 rows: ")
        assert printed.endswith(f"written: {out}\n")
        assert "has no id" not in printed


def test_what_the_model_does_not_know_has_id_0(made, tmp_path, capsys):
    folder, _ = made
    (tmp_path / "new.csv").write_text("meal,dish,guest\nlunch,d1,nobody\n,d99,g1\nbrunch,,\n")
    kept = keeping.load(folder / "model.keras")
    rows = scoring.read(kept, tmp_path / "new.csv", folder)
    ids = {field.name: field.encode(rows)[:, 0].tolist() for field in kept.fields}
    assert [i > 0 for i in ids["uid"]] == [False, True, False]
    assert [i > 0 for i in ids["mid"]] == [True, False, False]
    assert (ids["diet"][0], ids["diet"][2], ids["kind"][1], ids["kind"][2]) == (0, 0, 0, 0)
    assert ids["diet"][1] > 0 < ids["kind"][0]
    assert ids["age"][0] == ids["price"][1] == 0.0  # the mean
    assert ids["meal"][1:] == [0, 0]
    printed = deepfm(
        capsys,
        "score",
        folder / "model.keras",
        tmp_path / "new.csv",
        "--folder",
        folder,
        "--out",
        tmp_path / "s.tsv",
    )
    assert "in 2 of them the user has no id in the model" in printed
    assert "in 2 of them the item has no id in the model" in printed
    assert pd.read_csv(tmp_path / "s.tsv", sep="\t").iloc[:, 2].between(*kept.layout.range).all()


def test_many_rows_are_scored_block_by_block(made, monkeypatch):
    folder, _ = made
    kept, own = keeping.load(folder / "model.keras"), data.read(folder)
    expected, told = scoring.scores(kept, own.rows), []
    monkeypatch.setattr(scoring, "BLOCK", 700)
    np.testing.assert_allclose(scoring.scores(kept, own.rows, told.append), expected, rtol=1e-5)
    assert told == [700, 700, 700, 700, 200]


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        (None, [], r"new.csv: there is no such file"),
        ("", [], "the file is empty"),
        ("guest,dish,meal\n", ["--folder"], "there is a header and no row"),
        ("guest,dish,meal\ng1,d1,lunch\n", [], "the model reads a column 'diet', and the header has none; known are "
         "guest, dish, meal; add it, or name with --folder the folder that holds guests.csv"),
        ("guest,dish,meals\ng1,d1,lunch\n", ["--folder"], "reads a column 'meal', .* did you mean 'meals'\\?; add it$"),
        ("guest,dish,meal,meal\ng1,d1,a,b\n", ["--folder"], "line 1: the header names column 'meal' twice"),
        ("guest,dish,meal\ng1,d1,lunch\ng1,d1\n", ["--folder"], "new.csv, line 3: 2 cells where the header has 3"),
        ("guest,dish,meal,price\ng1,d1,a,1\ng1,d2,a,dear\n", ["--folder"],
         "new.csv, line 3, column 'price': 'dear' is no finite number"),
    ],
)  # fmt: skip
def test_a_wrong_table_of_rows_is_refused_and_nothing_is_written(
    made, tmp_path, capsys, content, options, says
):
    folder, _ = made
    if content is not None:
        (tmp_path / "new.csv").write_text(content)
    out = tmp_path / "scores.csv"
    out.write_text("old")
    options = [*options, folder] if options else []
    line = refused(capsys, "score", folder / "model.keras", tmp_path / "new.csv", *options, "--out", out)
    assert re.search(says, line), line
    assert out.read_text() == "old"


def test_scores_never_take_the_place_of_what_is_read(made, tmp_path, capsys):
    folder, _ = made
    rows = tmp_path / "new.csv"
    rows.write_text("guest,dish,meal\ng1,d1,lunch\n")
    for out, says in (
        (rows, "that file holds data"), (folder / "guests.csv", "that file holds data"),
        (folder / "model.keras", "ends in .csv or .tsv"),
    ):  # fmt: skip
        assert says in refused(
            capsys, "score", folder / "model.keras", rows, "--folder", folder, "--out", out
        )
    guests = folder / "guests.csv"
    whole = guests.read_text()
    try:
        guests.write_text(whole + whole.splitlines()[1] + "\n")
        line = refused(
            capsys, "score", folder / "model.keras", rows, "--folder", folder, "--out", tmp_path / "s.csv"
        )
        assert "guests.csv, line 62, column 'guest': 'g0' has a row before this one" in line
    finally:
        guests.write_text(whole)


def test_a_model_of_another_kind_is_named(tmp_path, capsys):
    fields = [features.Feature("uid", "single", "uid", 5), features.Feature("mid", "single", "mid", 4)]
    saving.save(models.fm_model(fields), fields, tmp_path / "m.keras")
    for command in (
        ["score", tmp_path / "m.keras", "x"],
        ["recommend", tmp_path / "m.keras", "x", "--user", "1"],
    ):
        assert "holds no dataset.toml: it is no model of a dataset of your own" in refused(capsys, *command)
    assert "there is no such file" in refused(capsys, "score", tmp_path / "n.keras", "x")


# --- recommend


def test_a_list_holds_the_best_of_what_the_user_does_not_have(made, capsys):
    folder, _ = made
    kept, own = keeping.load(folder / "model.keras"), data.read(folder)
    user = "g7"
    mine = own.rows[own.rows.uid == user]
    had = set(mine.mid if own.task == "rating" else mine.mid[mine.rating == 1])
    all_pairs = own.items.assign(uid=user, meal=None).merge(own.users, on="uid")
    predicted = evaluation.predict(kept.model, [field.encode(all_pairs) for field in kept.fields])
    left = all_pairs.assign(score=predicted)[~all_pairs.mid.isin(had)].sort_values("score", ascending=False)

    table = lists.table(kept, own, user, 5)
    assert 0 < len(table) <= 5
    assert table.dish.tolist() == left.mid.tolist()[:5]
    assert table.title.tolist() == [f"Dish {dish[1:]}" for dish in table.dish]
    parts = table[["first_order", "second_order", "deep", "bias"]].sum(axis=1)
    np.testing.assert_allclose(parts, table.score, atol=1e-4)
    if own.task == "click":
        np.testing.assert_allclose(table.probability, left.score[:5], rtol=1e-4)
        np.testing.assert_allclose(table.probability, 1 / (1 + np.exp(-table.score)), rtol=1e-5)
    else:
        assert "probability" not in table
        np.testing.assert_allclose(table.score, left.score[:5], rtol=1e-4)
    learned = own.learned()
    assert table.rows.tolist() == [(learned.mid == dish).sum() for dish in table.dish]

    printed = deepfm(capsys, "recommend", folder / "model.keras", folder, "--user", user, "-n", 5)
    assert [line.split()[1] for line in printed.splitlines()[2 : 2 + len(table)]] == table.dish.tolist()
    assert f"{len(table)} items for guest g7; score = sum of first_order, second_order, deep, bias" in printed
    assert "left open, since they belong to a row that does not exist yet: meal" in printed


def test_a_user_who_is_not_there_is_named(made, capsys):
    folder, _ = made
    line = refused(capsys, "recommend", folder / "model.keras", folder, "--user", "g611")
    assert "guest 'g611' is not among the 60 of " in line
    assert "did you mean 'g" in line
    rows = pd.DataFrame({"user": [1, 2, 3, 4] * 5, "item": range(20), "rating": [1, 2, 3, 4] * 5})
    own = data.from_frames(rows)
    assert lists.id_of("3", own) == 3
    with pytest.raises(DataError, match="user '03' is not among the 4 of frames, each a whole number"):
        lists.id_of("03", own)


def test_a_user_who_has_everything_is_told_so(made, tmp_path, capsys):
    folder, _ = made
    path = tmp_path / "all"
    path.mkdir()
    for name in ("dataset.toml", "guests.csv", "dishes.csv"):
        (path / name).write_bytes((folder / name).read_bytes())
    log, menu = pd.read_csv(folder / "log.csv"), pd.read_csv(folder / "dishes.csv")
    all_of_it = menu[["dish"]].assign(guest="g7", meal="lunch", **{folder.name: 1})
    pd.concat([log, all_of_it]).to_csv(path / "log.csv", index=False)
    printed = deepfm(capsys, "recommend", folder / "model.keras", path, "--user", "g7")
    assert printed == "guest g7 has every item already; nothing is left to list\n"


def two_sides(rows, items=None, **options):
    own = data.from_frames(rows, items=items, repeats=True, **options)
    fields = own.fields()
    *_, model = models.deep_fm_model(features=fields, k=2, task=own.task, embedding_spread=0.5)
    return own, model, recommending.TwoSides(model, own, fields, own.learned())


def test_ids_may_be_texts_and_items_may_lack_titles():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"user": rng.choice(["ann", "bob"], 80), "item": rng.choice(list("abcdefgh"), 80)})
    rows["rating"] = rng.integers(1, 9, 80)
    _, _, sides = two_sides(rows)
    everything = recommending.recommend(sides, {"likes": ["a", "c"]}, 9)
    assert "title" not in everything
    assert set(everything.mid) == set("bdefgh")
    assert sides.liked == 8.0
    with pytest.raises(TypeError, match="uid 3 is of type int, and a uid is a text; describe someone new"):
        recommending.recommend(sides, 3)
    with pytest.raises(ValueError, match="uid 'eve' is not among the 2"):
        recommending.recommend(sides, "eve")
    with pytest.raises(ValueError, match="no film is called 'z'"):
        recommending.recommend(sides, {"likes": ["z"]})

    items = pd.DataFrame(
        {"item": list("abcdefgh"), "maker": "M", "full_name": [f"Item {c}" for c in "hgfedcba"]}
    )
    own, _, sides = two_sides(rows, items, columns={"maker": "text", "full_name": "text"})
    assert own.title == "full_name"
    by_title = recommending.recommend(sides, {"likes": ["Item h", "f"]}, 9)
    assert set(by_title.mid) == set("bcdegh")
    assert by_title.title[by_title.mid == "b"].tolist() == ["Item g"]


def test_likes_of_clicks_pull_towards_users_who_click_on_them():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"user": rng.integers(0, 9, 200), "item": rng.integers(0, 12, 200)})
    rows["click"] = rng.integers(0, 2, 200)
    _, model, sides = two_sides(rows, task="click")
    assert anatomy.task(model) == sides.task == "click"
    before, after = (sides.scores(sides.new_user({}, likes))[0][:3] for likes in ([], [0, 1, 2]))
    known = sides.scores(sides.users.uid)[:, :3].astype("f8")
    likelihood = (1 / (1 + np.exp(-known))).prod(axis=1)
    mixed = np.tensordot(likelihood / likelihood.sum(), sides.halves["user"].embedded.first, 1)
    np.testing.assert_allclose(sides.new_user({}, [0, 1, 2]).first, mixed.sum(), rtol=1e-4)
    assert not np.allclose(before, after)


def test_who_has_seen_what_can_be_more_than_the_training_rows():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"user": rng.integers(0, 5, 90), "item": rng.integers(0, 40, 90), "rating": 1.0})
    rows["rating"] = rng.integers(1, 6, 90)
    own, model, sides = two_sides(rows)
    wider = recommending.TwoSides(model, own, own.fields(), own.learned(), own.rows)
    for user, seen, all_seen in zip(sides.users.uid, sides.seen, wider.seen, strict=True):
        for found, of in ((seen, own.learned()), (all_seen, own.rows)):
            assert sorted(sides.films.mid[found]) == sorted(of.mid[of.uid == user])
    assert (wider.counts == sides.counts).all()


# --- progress and files


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_shows_on_a_terminal_alone_and_leaves_nothing(made, tmp_path, monkeypatch, capsys):
    folder, _ = made
    (tmp_path / "new.csv").write_text("guest,dish,meal\ng1,d1,lunch\n")
    commands = {
        "scoring": ["score", folder / "model.keras", tmp_path / "new.csv", "--folder", folder, "--out",
                    tmp_path / "s.csv"],
        "reading the tables": ["recommend", folder / "model.keras", folder, "--user", "g1"],
        "DeepFM, epoch 2 of at most 2": ["fit", folder, "--out", tmp_path / "m.keras", "--epochs", "2", "--k", "2"],
    }  # fmt: skip
    for words, command in commands.items():
        screen = Terminal()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", screen)
            assert cli.main([str(part) for part in command]) == 0
        assert words in screen.getvalue()
        assert screen.getvalue().rpartition("\r")[0].rpartition("\r")[2].strip() == ""  # wiped out
    capsys.readouterr()


def test_a_bar_counts_every_step_of_the_training(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    fields = [features.Feature("uid", "single", "uid", 5)]
    model = models.fm_model(fields, 0)
    watch = progress.Training("m")
    counted = []
    watch.on_train_end = lambda logs=None: counted.append((watch.bar.n, watch.bar.total))
    from deepfm_helpers import training

    x = [np.arange(50)[:, None] % 5]
    training.train(model, (x, np.ones(50, "f4")), epochs=3, batch_size=2, callbacks=(watch,))
    assert counted == [(75, 75)]
    assert watch.validation == {}


def test_a_file_of_a_model_imports_no_module_of_others(tmp_path):
    fields = [features.Feature("uid", "single", "uid", 5)]
    path = tmp_path / "m.keras"
    saving.save(models.fm_model(fields, 0), fields, path, {"note": "é"})
    assert saving.text(path, "note") == "é"
    assert saving.text(path, "other") is None

    def write(module):
        written = json.loads(saving.text(path, saving.MEMBER))
        written[0] |= {"module": module}
        changed = tmp_path / "changed.keras"
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
            for name in old.namelist():
                new.writestr(name, json.dumps(written) if name == saving.MEMBER else old.read(name))
        return changed

    sys.modules.pop("antigravity", None)
    assert saving.load(write("antigravity"))[1] == tuple(fields)
    assert "antigravity" not in sys.modules
    with pytest.raises(DataError, match=r"changed\.keras: No module named 'deepfm_helpers\.nothing'"):
        saving.load(write("deepfm_helpers.nothing"))

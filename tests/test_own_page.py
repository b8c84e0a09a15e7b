"""A model of your own data as one page: what the file holds, and that its terms add up to what the model predicts."""

import json
import re
import tomllib
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from every_kind import BREAKS_OUT, chosen, in_row, model_of, tables
from scipy.special import logit
from test_own_use import deepfm, dishes, refused

from deepfm_helpers import anatomy, evaluation, features, live, models
from deepfm_helpers.own import data, keeping, lists, showing
from deepfm_helpers.press.checkout import HERE
from deepfm_helpers.schema import DataError


@pytest.fixture(scope="module", params=["rating", "click"])
def case(request, tmp_path_factory):
    """A dataset with every kind of column, a model of it, and what its page holds."""
    own = data.read(tables(tmp_path_factory.mktemp("garden") / request.param, request.param))
    kept = model_of(own)
    return own, kept, showing.content(kept, own)


def scores(kept, rows: pd.DataFrame) -> np.ndarray:
    """The scores of joined rows by the model itself, not cut to a range; of clicks the log-odds."""
    found = evaluation.predict(kept.model, [field.encode(rows) for field in kept.fields]).astype(float)
    return logit(found) if kept.layout.task == "click" else found


def held(path) -> dict:
    """What the script of a page assigns."""
    return json.loads(re.search(rf"window\.{live.NAME} = (.*);\n", path.read_text(encoding="utf-8")).group(1))


def test_the_terms_of_every_kind_of_field_add_up_to_the_score_of_the_model(case):
    own, kept, exported = case
    rows = own.learned().head(300)
    kinds = {(f["side"], f["kind"], "time" in f) for f in exported["fields"]}
    for side in ("user", "film", "rating"):
        assert {
            (side, "single", False),
            (side, "multi", False),
            (side, "numeric", False),
            (side, "numeric", True),
        } <= kinds
    found = [live.terms(exported, chosen(exported, row)) for _, row in rows.iterrows()]
    unit = 20 if own.task == "rating" else 1
    np.testing.assert_allclose([terms.sum() for terms in found], scores(kept, rows), atol=2e-4 * unit)
    n = len(kept.fields)
    assert len(found[0]) == 1 + n + n * (n - 1) // 2 + 1
    assert (pd.DataFrame(found).std().drop("w0") > 1e-4 * unit).all()  # each term has something to say


def test_what_a_row_leaves_open_is_the_average_over_the_training_rows(case):
    own, kept, exported = case
    learned = own.learned()
    for field, entry in zip(kept.fields, exported["fields"], strict=True):
        w = live.decode(entry["w"], -1)
        if entry["side"] != "rating":
            continue
        if entry["kind"] == "numeric":
            assert entry["mean"] == pytest.approx(learned[field.column].mean())
            assert live.terms(exported, _one(exported, entry, entry["mean"]))[entry["name"]] == pytest.approx(
                w[0], abs=1e-4
            )
            continue
        ids = field.encode(learned)
        table = anatomy.tables(kept.model, field).first.get_weights()[0][:, 0]
        there = ids > 0 if entry["kind"] == "multi" else np.ones_like(ids)
        average = ((table[ids] * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1)).mean()
        assert w[0] == pytest.approx(average, abs=1e-4)


def _one(exported, entry, value) -> list:
    """The averages of all fields, and a value of one."""
    return [value if f is entry else None if f["kind"] == "numeric" else 0 for f in exported["fields"]]


def test_values_are_named_and_so_are_those_that_are_missing_or_rare(case):
    own, _, exported = case
    fields = {f["label"]: f for f in exported["fields"]}
    assert list(fields) == [
        "member", "plant", "town", "pets", "altitude", "born", "postcode", "family", "likes", "rows", "found", "label",
        "weather", "tools", "depth", "watered", "lot",
    ]  # fmt: skip
    assert fields["town"]["values"] == ["Ashford", "Elmham", "Oakley", "unknown"]
    assert fields["weather"]["values"] == ["rain", "sun", "unknown"]  # the others have fewer than three rows
    assert fields["tools"]["values"] == ["fork", "hoe", "rake"]
    codes = own.users.postcode.dropna().astype(int)
    assert fields["postcode"]["values"] == [*map(str, sorted(codes.unique())), "unknown"]
    assert len(fields["lot"]["values"]) == own.learned().lot.nunique() + 1
    assert exported["people"]["uid"] == own.users.uid.tolist()


def test_titles_tell_items_apart(case):
    *_, exported = case
    assert exported["films"]["title"][:5] == [BREAKS_OUT, "2", "Sage (3)", "Sage (4)", "Bean 0"]


def test_an_item_is_had_as_lists_has_it(case):
    own, kept, exported = case
    for user, had in zip(exported["people"]["uid"], exported["people"]["had"], strict=True):
        rows = own.rows[own.rows.uid == user]
        rows = rows[rows.rating == 1] if own.task == "click" else rows
        assert had == sorted({mid - 1 for mid in rows.mid})


@pytest.mark.parametrize("split", ["random", "user"])
def test_the_best_items_are_those_of_recommend(split, tmp_path):
    """A user or an item without a training row gets the average; what belongs to a row is unknown."""
    own = data.read(tables(tmp_path / "garden", split=split))
    kept = model_of(own)
    exported = showing.content(kept, own)
    strangers = [i for i, row in enumerate(exported["people"]["row"]) if row == 0]
    assert bool(strangers) == (split == "user")
    unknown = {f["name"]: in_row(f, None) for f in exported["fields"] if f["side"] == "rating"}
    people, films = exported["people"], exported["films"]
    for user in [*strangers[:2], 0, 7]:
        expected = lists.table(kept, own, people["uid"][user], 30)
        found = {}
        for item, rows in enumerate(films["rows"]):
            if rows and item not in people["had"][user]:
                of = unknown | {"uid": people["row"][user], "mid": item + 1}
                of |= {name: some[user] for name, some in people["values"].items()}
                of |= {name: some[item] for name, some in films["values"].items()}
                found[item + 1] = live.terms(exported, [of[f["name"]] for f in exported["fields"]]).sum()
        best = sorted(found, key=found.get, reverse=True)
        assert best == expected.plant.tolist()
        np.testing.assert_allclose([found[mid] for mid in best], expected.score, atol=5e-3)


def test_a_page_holds_a_part_of_many_users_items_and_values(case, monkeypatch):
    own, kept, whole = case
    monkeypatch.setattr(live, "VALUES", 2)
    some = showing.content(kept, own, wanted=["m31", "m07"], users=8, items=10)
    assert some["people"]["uid"][:2] == ["m31", "m07"]
    assert len(set(some["people"]["uid"])) == 8
    assert some["people"]["uid"][2:] == sorted(some["people"]["uid"][2:])
    least = sorted(whole["films"]["rows"], reverse=True)[9]
    assert len(some["films"]["title"]) == 10
    assert min(some["films"]["rows"]) >= least
    assert all(max(had) < 10 for had in some["people"]["had"])
    assert "8 of 40 users, drawn at random" in some["notes"]["model"]
    assert "10 of 30 items, those with the most training rows" in some["notes"]["model"]
    fields = {f["label"]: f for f in some["fields"]}
    assert (fields["tools"]["values"], fields["tools"]["more"]) == (["fork", "hoe"], 1)
    assert len(fields["lot"]["values"]) == 3
    assert fields["lot"]["more"] == own.learned().lot.nunique() - 2
    assert f"{fields['lot']['more']:,}" in showing._prose(some, own)["left"]
    # what is there has the terms that it has on the whole page
    for user, item in [(0, 0), (1, 5), (7, 9)]:
        terms = []
        for page in (some, whole):
            people, films = page["people"], page["films"]
            at = people["uid"].index(some["people"]["uid"][user])
            film = films["title"].index(some["films"]["title"][item])
            of = {"uid": people["row"][at], "mid": film + 1}
            of |= {name: values[at] for name, values in people["values"].items()}
            of |= {name: values[film] for name, values in films["values"].items()}
            terms.append(
                live.terms(
                    page, [of.get(f["name"], None if f["kind"] == "numeric" else 0) for f in page["fields"]]
                )
            )
        np.testing.assert_allclose(*terms, atol=1e-4)


def test_a_user_who_is_not_there_is_refused(case):
    own, kept, _ = case
    with pytest.raises(DataError, match="user 'nobody' is not among the 40"):
        showing.content(kept, own, wanted=["nobody"])


class Elements(HTMLParser):
    """Collects the tags of a page, and the text of its heading."""

    def __init__(self):
        super().__init__()
        self.tags, self.heading = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not [name for name, value in attrs if name in ("src", "href") or name.startswith("on")]

    def handle_data(self, text):
        if self.tags[-1:] == ["h1"]:
            self.heading += text


def test_no_text_of_the_table_ends_the_script_or_becomes_an_element(case, tmp_path):
    own, kept, exported = case
    own = replace(own, name="a </title><b>$model & co")
    made = showing.show(kept, own, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert made.size == len(text.encode()) == (tmp_path / "page.html").stat().st_size
    assert held(tmp_path / "page.html") == json.loads(json.dumps(made.exported))
    assert made.exported["films"]["title"][0] == BREAKS_OUT
    elements = Elements()
    elements.feed(text)
    assert elements.tags.count("script") == text.count("</script") == 4
    assert not {"img", "b", "link", "iframe"} & set(elements.tags)
    assert elements.heading.strip() == f"{own.name}: the model, live"
    assert "http" not in text.replace("http-equiv", "")  # nothing to fetch
    assert "default-src 'none'" in text


def test_the_page_says_what_it_holds_and_no_target(case, tmp_path):
    own, kept, exported = case
    showing.show(kept, own, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert (
        "the ids and values of 40 users, the names and values of 30 items, and which items each user has had"
        in text
    )
    assert "Whoever gets the file gets these." in text
    assert set(exported["people"]) == {"uid", "row", "values", "had"}
    assert set(exported["films"]) == {"title", "rows", "values"}
    assert ("one sigmoid of their sum" in text) == (own.task == "click")


def test_a_page_is_written_whole_or_not_at_all(case, tmp_path, monkeypatch):
    own, kept, _ = case
    path = tmp_path / "page.html"
    path.write_text("the last one")
    weights = kept.model.get_weights()
    broken = type(kept.model).from_config(kept.model.get_config())
    broken.set_weights([w if i else w * np.nan for i, w in enumerate(weights)])
    with pytest.raises(ValueError, match="not finite"):
        showing.show(replace(kept, model=broken), own, path)

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(type(path), "replace", full)
    with pytest.raises(OSError, match="no space"):
        showing.show(kept, own, path)
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text() == "the last one"


@pytest.mark.parametrize("field", ["wide", "crossed"])
def test_a_field_that_the_page_cannot_compute_is_refused_by_its_column(field, case, tmp_path):
    own, kept, _ = case
    fields = list(kept.fields)
    if field == "wide":
        fields[2] = replace(fields[2], wide=True)
    else:
        fields.append(features.cross(fields[2], fields[7]))
    *_, model = models.deep_fm_model(features=fields)
    with pytest.raises(DataError, match="column 'town': the page cannot compute the field town"):
        showing.show(replace(kept, model=model, fields=tuple(fields)), own, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("target", ["points", "ordered"])
def test_the_command_writes_the_page_of_a_model_that_fit_has_made(target, tmp_path, capsys):
    folder = dishes(tmp_path / target, target, n=600)
    assert f"deepfm page {folder}" in deepfm(capsys, "fit", folder, "--epochs", 1, "--k", 4)
    printed = deepfm(capsys, "page", folder, "--user", "g9")
    assert f"written: {folder / 'model.html'} (" in printed
    assert "with 60 of 60 users and 30 of 30 items" in printed
    assert "weights, ids, names and values of your table" in printed
    exported = held(folder / "model.html")
    assert exported["people"]["uid"][:2] == ["g9", "g0"]
    own, kept = data.read(folder), keeping.load(folder / "model.keras")
    report = json.loads((folder / "model.json").read_text())
    assert exported["error"] == pytest.approx(report["test"]["DeepFM"][report["decisive"]], rel=1e-5)
    rows = own.learned()
    rows = rows[rows.uid == "g9"].head(5)
    of = {f["name"]: f for f in exported["fields"]}
    for (_, row), score in zip(rows.iterrows(), scores(kept, rows), strict=True):
        item = own.items.mid.sort_values().tolist().index(row.mid)
        values = {"uid": exported["people"]["row"][0], "mid": item + 1, "meal": in_row(of["meal"], row.meal)}
        values |= {name: some[0] for name, some in exported["people"]["values"].items()}
        values |= {name: some[item] for name, some in exported["films"]["values"].items()}
        assert live.terms(exported, [values[name] for name in of]).sum() == pytest.approx(
            score, abs=2e-4, rel=2e-5
        )

    assert "ends in .html" in refused(capsys, "page", folder, "--out", tmp_path / "page.txt")
    assert "guest 'nobody'" in refused(capsys, "page", folder, "--user", "nobody")
    (folder / "model.keras").rename(tmp_path / "moved.keras")
    assert "model.keras" in refused(capsys, "page", folder)
    other = tmp_path / "elsewhere" / "p.html"
    deepfm(capsys, "page", folder, "--model", tmp_path / "moved.keras", "--out", other)
    assert held(other)["task"] == exported["task"]


def test_the_installed_package_has_the_files_of_the_page():
    settings = tomllib.loads((HERE.root / "pyproject.toml").read_text(encoding="utf-8"))
    globs = settings["tool"]["setuptools"]["package-data"]["deepfm_helpers"]
    packed = {path for glob in globs for path in HERE.package.glob(glob)}
    assert {live.FORWARD, live.PAGE, live.STYLE, showing.FRAME} <= packed

"""The records of the datasets, and that every other list of their names agrees with them."""

import re
from pathlib import Path

import pytest

from deepfm_helpers import datasets, fetching
from deepfm_helpers.catalogue import DATASETS, TABLES
from deepfm_helpers.parameters import PARAMETERS
from deepfm_helpers.press import checkout, reruns

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REAL = [dataset for dataset in DATASETS.values() if dataset.forms]
FORMS = [(dataset, form) for dataset in REAL for form in dataset.forms]


def names_in(text: str) -> list[str]:
    """The words of a text that look like names of datasets, in their order."""
    return re.findall(r"(?<![\w/.-])(?:ml-[a-z0-9-]*[a-z0-9]|planted-small|planted)(?![\w-])", text)


def rows_of(file: str, label: str) -> dict[str, str]:
    """The lines of the table of a page, by the name in their first cell."""
    table = (ROOT / "book" / file).read_text("utf-8").partition(f":name: {label}\n")[2].partition(":::")[0]
    return dict(re.findall(r"^\| `([^`]+)` \|(.*)\|$", table, re.M))


@pytest.mark.parametrize(("dataset", "form"), FORMS, ids=[form.archive for _, form in FORMS])
def test_a_record_agrees_with_itself(dataset, form):
    assert len(form.hash) in fetching.HASHES
    assert all(len(digest) in {0, *fetching.HASHES} for digest in form.files.values())
    assert list(form.tables) == list(TABLES[: len(form.files)])
    stars = form.formats[0].stars.values()
    assert (min(stars), max(stars)) == dataset.range
    assert ("users" in form.tables) == bool(dataset.codebook)


@pytest.mark.parametrize("name", [name for name in DATASETS if not DATASETS[name].forms])
def test_drawn_data_has_the_sizes_and_the_range_of_its_record(name):
    data = datasets.load(name)
    assert (data.name, data.range, data.codebook) == (name, DATASETS[name].range, DATASETS[name].codebook)
    assert (len(data.ratings), len(data.users), len(data.movies)) == DATASETS[name].sizes
    assert data.ratings["rating"].agg(["min", "max"]).tolist() == list(data.range)


def test_the_choices_of_a_run_are_the_datasets():
    assert PARAMETERS["dataset"].choices == tuple(DATASETS)
    assert checkout.DEFAULT in DATASETS
    assert all(f'"{name}"' in datasets.load.__doc__ for name in DATASETS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_comment_of_a_parameter_names_datasets_that_there_are(path):
    if (declared := reruns.declared(path).get("dataset")) is None:
        pytest.skip("reads no dataset")
    names = names_in(declared.help)
    assert set(names) <= set(DATASETS)
    assert names == [name for name in DATASETS if name in names]
    assert declared.default in names


def test_the_makefile_names_every_dataset():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(r"^DATASET \?= (.*)$", makefile, re.M)[1] == checkout.DEFAULT
    assert re.search(r"DATASET=(\S+) chooses the data", makefile)[1].split("|") == list(DATASETS)


def test_the_pages_name_every_dataset_and_its_sizes():
    assert list(rows_of("how_to_use.md", "tab-names")) == list(DATASETS)
    rows = rows_of("data_and_licences.md", "tab-datasets")
    assert list(rows) == [dataset.name for dataset in REAL]
    for dataset in REAL:
        assert [cell.strip() for cell in rows[dataset.name].split("|")[:3]] == [
            f"{n:,}" for n in dataset.sizes
        ]


@pytest.mark.parametrize(
    "path",
    [ROOT / "README.md", *sorted((ROOT / "book").glob("*.md")), *sorted((ROOT / "benchmarks").glob("*.py"))],
    ids=lambda path: path.name,
)
def test_no_page_or_benchmark_names_a_dataset_that_there_is_not(path):
    assert set(names_in(path.read_text("utf-8"))) <= set(DATASETS)

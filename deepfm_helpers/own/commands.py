"""What `deepfm fit`, `deepfm score`, `deepfm recommend`, `deepfm page` and `deepfm export` do and print."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path

from deepfm_helpers.files import replacing

Command = Callable[[str, Callable[[Namespace], int], str], ArgumentParser]


def add_to(command: Command, number: Callable[[str], int]) -> None:
    """Adds the commands to a command line.

    Args:
        command: makes a command of a name, a function and a line of help.
        number: reads a whole number from 1 on.
    """
    sub = command("fit", fit, "train a DeepFM on tables of your own, and judge it on rows that are held out")
    sub.add_argument("folder", type=Path, help="a folder with tables and a dataset.toml")
    sub.add_argument("--out", type=Path, help="the file of the model (default: model.keras in the folder)")
    sub.add_argument("--epochs", type=number, help="largest number of passes over the rows (default 60)")
    sub.add_argument("--k", type=number, help="length of the vectors (default 24)")
    sub.add_argument("--seed", type=_seed, help="another seed than that of the split")
    sub.add_argument(
        "--layout", help="another description: a file, or movielens for ml-latest-small and ml-32m"
    )

    sub = command("score", score, "predict the target of further rows with a model of deepfm fit")
    sub.add_argument("model", type=Path, help="the file of the model")
    sub.add_argument(
        "rows", type=Path, help="a table with the columns of the dataset's rows; no target is needed"
    )
    sub.add_argument(
        "--folder", type=Path, help="the folder with the tables of users and items, if there are any"
    )
    sub.add_argument(
        "--out", type=Path, default=Path("scores.csv"), help="the file to write (default scores.csv)"
    )

    sub = command("recommend", recommend, "list the items that a model of deepfm fit would give to a user")
    sub.add_argument("model", type=Path, help="the file of the model")
    sub.add_argument("folder", type=Path, help="the folder of the dataset")
    sub.add_argument("--user", required=True, help="the user, as in the rows")
    sub.add_argument("-n", type=number, default=10, help="length of the list (default 10)")

    sub = command(
        "page", page, "write a model of deepfm fit as a page of HTML that computes its scores offline"
    )
    sub.add_argument("folder", type=Path, help="the folder of the dataset")
    sub.add_argument("--model", type=Path, help="the file of the model (default: model.keras in the folder)")
    sub.add_argument("--out", type=Path, help="the page to write (default: beside the model, model.html)")
    sub.add_argument(
        "--user",
        action="append",
        default=[],
        help="a user who has to be on the page; may be given several times",
    )

    sub = command("export", export, "write a model of deepfm fit for a server that lacks this package")
    sub.add_argument("model", type=Path, help="the file of the model")
    sub.add_argument("folder", type=Path, help="the folder to make, such as served/1")
    sub.add_argument("--onnx", action="store_true", help="write model.onnx, too; needs the extra onnx")


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise ArgumentTypeError(f"{text} is not a whole number from 0 on, below 2³²")
    return int(text)


def fit(o: Namespace) -> int:
    """Reads a folder, trains and judges a model, and writes it with its report."""
    from deepfm_helpers import saving
    from deepfm_helpers.own import data, fitting, judging, keeping, large

    path = saving.checked(o.out or o.folder / "model.keras")
    layout = data.layout_of(o.folder, o.layout)
    own = large.read(o.folder, layout, o.seed) if layout.stream else data.read(o.folder, layout)
    sizes = ", ".join(f"{n:,} {name}" for name, n in own.sizes.items())
    print(f"{own.name}: {sizes} rows; the task is {own.task}")
    path.parent.mkdir(parents=True, exist_ok=True)
    made = fitting.fit(own, epochs=o.epochs or fitting.EPOCHS, k=o.k, seed=o.seed, scratch=path.parent)
    report = keeping.save(made, path)
    ((error, curve),) = made.validation.items()
    print(
        f"the validation rows chose {made.epochs} of {len(curve)} epochs ({_words(error)} {min(curve):.4g}); "
        f"trained in {made.seconds:.1f} s"
    )
    if made.epochs == len(curve):
        print(f"the error still fell in the last epoch: --epochs {2 * len(curve)} may lower it further")
    print(f"\non the {own.sizes['test']:,} test rows:\n")
    print(made.figures.rename(columns=_words).to_string(float_format="{:.4f}".format, na_rep="–"))
    rival, mean, low, high = made.margin
    interval = (
        f"{low:.4f} to {high:.4f}, 95% interval over users" if low <= high else "a single user: no interval"
    )
    error = _words(judging.DECISIVE[own.task])
    print(f"\n{error} of {rival} minus that of the DeepFM: {mean:.4f} ({interval})")
    if not low > 0:
        print(
            f"So the DeepFM is not clearly better than {rival}: use that, or find more rows or columns that say more."
        )
    model, folder = (shlex.quote(str(one)) for one in (path, o.folder))
    tables = f" --folder {folder}" if own.layout.users or own.layout.items else ""
    print(f"\nwritten: {path} (the model with its fields), {report} (these figures and the recipe)")
    print(f"next: deepfm score {model} ROWS.csv{tables}")
    if not layout.stream:
        user = shlex.quote(str(own.rows["uid"].iloc[0]))
        print(f"      deepfm recommend {model} {folder} --user {user}")
        print(f"      deepfm page {folder}" + (f" --model {model}" if o.out else ""))
    return 0


def score(o: Namespace) -> int:
    """Reads a model and rows, and writes their predictions."""
    from deepfm_helpers.own import files, keeping, scoring
    from deepfm_helpers.own.progress import bar

    if o.out.suffix not in (".csv", ".tsv"):
        raise ValueError(f"--out {o.out}: the name of a table of scores ends in .csv or .tsv")
    kept = keeping.load(o.model)
    names = [name for source in kept.layout.sources.values() for name in source.files if o.folder]
    read = [o.rows, *(o.folder / one for name in names for one in files.matching(o.folder, name))]
    if o.out.resolve() in [path.resolve() for path in read]:
        raise ValueError(f"--out {o.out}: that file holds data; choose another name")
    rows = scoring.read(kept, o.rows, o.folder)
    with bar(len(rows), "scoring", " rows") as shown:
        predicted = scoring.scores(kept, rows, shown.update)
    table = scoring.table(kept, rows, predicted)
    with replacing(o.out) as part:
        table.to_csv(part, index=False, sep="\t" if o.out.suffix == ".tsv" else ",")
    print(f"{len(table):,} rows: {table.columns[-1]} from {predicted.min():.4g} to {predicted.max():.4g}, "
          f"mean {predicted.mean():.4g}")  # fmt: skip
    for role, n in scoring.strangers(kept, rows).items():
        if n:
            print(f"in {n:,} of them the {role} has no id in the model: the other columns decide")
    print(f"written: {o.out}")
    return 0


def recommend(o: Namespace) -> int:
    """Reads a model and its dataset, and prints a list for a user."""
    from deepfm_helpers.own import data, keeping, lists
    from deepfm_helpers.own.progress import bar

    with bar(3, "reading the model", " steps") as shown:
        kept = keeping.load(o.model)
        shown.set_description("reading the tables")
        shown.update()
        own = data.read(o.folder, kept.layout if kept.layout.rows.files else None)
        user = lists.id_of(o.user, own)
        shown.set_description("scoring the items")
        shown.update()
        table = lists.table(kept, own, user, o.n)
        shown.update()
    if table.empty:
        print(f"{own.layout.roles['user']} {user} has every item already; nothing is left to list")
        return 0
    print(table.to_string(float_format="{:.4f}".format))
    unit = "log-odds" if own.task == "click" else f"the unit of {own.layout.roles['target']}"
    parts = ", ".join(name for name in table if name in ("first_order", "second_order", "deep", "bias"))
    print(f"\n{len(table)} items for {own.layout.roles['user']} {user}; score = sum of {parts}, in {unit}")
    if open_ := [field.name for field in kept.fields if field.owner == "rating"]:
        print(f"left open, since they belong to a row that does not exist yet: {', '.join(open_)}")
    return 0


def page(o: Namespace) -> int:
    """Reads a model and its dataset, and writes a page that holds the weights and the names of users and items."""
    from deepfm_helpers.own import data, keeping, lists, showing
    from deepfm_helpers.own.progress import bar

    model = o.model or o.folder / "model.keras"
    out = showing.checked(o.out or model.with_suffix(".html"))
    with bar(3, "reading the model", " steps") as shown:
        kept = keeping.load(model)
        shown.set_description("reading the tables")
        shown.update()
        own = data.read(o.folder, kept.layout if kept.layout.rows.files else None)
        wanted = [lists.id_of(user, own) for user in o.user]
        shown.set_description("writing the page")
        shown.update()
        made = showing.show(kept, own, out, wanted=wanted)
        shown.update()
    users, items = made.exported["people"]["uid"], made.exported["films"]["title"]
    print(
        f"written: {made.path} ({made.size / 1e6:.1f} MB), with {len(users):,} of {len(own.users):,} users and "
        f"{len(items):,} of {len(own.items):,} items"
    )
    print("it holds weights, ids, names and values of your table: pass it on as you would pass on the table")
    print("next: open it in a browser; it needs no network")
    return 0


def export(o: Namespace) -> int:
    """Reads a model, and writes it to a new folder for a server."""
    from deepfm_helpers.own import exporting, keeping

    kept = keeping.load(o.model)
    made = exporting.export(kept.model, kept.fields, o.folder, layout=kept.layout, onnx=o.onnx)
    also = f", {exporting.ONNX}" if o.onnx else ""
    print(f"written: {made.folder} (a SavedModel{also}, {exporting.FIELDS} and serving.py)")
    print(f"read again, it predicts random rows as the model does, to {made.difference:.1g}")
    print(f"next: python {shlex.quote(str(made.folder / 'serving.py'))} ROWS.csv")
    return 0


def _words(name: str) -> str:
    return name.removeprefix("val_").replace("_", " ")

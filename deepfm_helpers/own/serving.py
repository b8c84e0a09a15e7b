"""Scores rows with an exported model. It needs NumPy and TensorFlow alone: `exporting.export` puts a copy of this file
beside every model, and a server can use the copy or do the same in another language::

    python serving.py rows.csv > scores.csv        # beside fields.json; the table holds the columns that it names

`fields.json` says for each input of the model from which column it comes and by which rule a cell becomes the numbers
that the model takes. A cell that is empty or None is missing.

- number: (number − mean) / spread; a missing number counts as `missing`, and if that is null, it is an error.
- value: the place of the value in `values`, counted from 1.
- id: the number itself, if it lies between 1 and `size`.
- list: the text is split at `separator` (after it was put in lower case, with `lower`); each value that `values` holds
  becomes its place there. Of more than `slots` values the last ones are dropped (`truncating` "post") or the first ones
  ("pre"), and zeros fill up the rest. A cell that equals `none` holds no value.
- bucket: 1 + (the first eight bytes of the BLAKE2b digest of the text, as a little-endian number) modulo `size`.
- code: no rule; the server has to give the numbers that the method `encode` of the class `class` gives.

Wherever there is no other rule, what is missing or unknown is 0.
"""

import csv
import hashlib
import json
import sys
from pathlib import Path

import numpy as np


def encode(field, cells):
    """Returns what the model takes for the cells of one column, (n, slots).

    Args:
        field: one of the entries `fields` of fields.json.
        cells: the column of that name, n cells.

    Raises:
        ValueError: a number is missing, or a text is none.
        NotImplementedError: the field has no rule.
    """
    if field["rule"] not in RULES:
        raise NotImplementedError(f"field {field['field']}: give the numbers of {field['class']}.encode")
    places = {value: place for place, value in enumerate(field.get("values", ()), start=1)}
    rule = RULES[field["rule"]]
    rows = [rule(field, places, None if cell == "" else cell) for cell in cells]
    return np.array(rows, field["dtype"]).reshape(len(rows), field["slots"])


def _number(field, places, cell):
    cell = field["missing"] if cell is None else cell
    if cell is None:
        raise ValueError(f"column {field['column']}: a number is missing")
    return (float(cell) - field["mean"]) / field["spread"]


def _value(field, places, cell):
    if cell is None or not places:
        return 0
    return places.get(type(field["values"][0])(cell), 0)


def _id(field, places, cell):
    return int(cell) if cell is not None and 1 <= int(cell) <= field["size"] else 0


def _list(field, places, cell):
    if cell is None or cell == field["none"]:
        return [0] * field["slots"]
    cell = cell.lower() if field["lower"] else cell
    found = [places[value] for value in cell.split(field["separator"]) if value in places]
    kept = found[-field["slots"] :] if field["truncating"] == "pre" else found[: field["slots"]]
    return kept + [0] * (field["slots"] - len(kept))


def _bucket(field, places, cell):
    if cell is None:
        return 0
    text = str(int(cell)) if field["whole"] else str(cell)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "little") % field["size"]


RULES = {"number": _number, "value": _value, "id": _id, "list": _list, "bucket": _bucket}


def inputs(described, columns):
    """Returns the inputs of the model by name.

    Args:
        described: what fields.json holds.
        columns: name -> cells; all columns that the fields name, equally long.
    """
    return {field["input"]: encode(field, columns[field["column"]]) for field in described["fields"]}


def scores(folder, columns):
    """Returns what the SavedModel in a folder predicts: ratings, or probabilities of a click, float32 (n,).

    Args:
        folder: the folder with saved_model.pb and fields.json.
        columns: see `inputs`.
    """
    import tensorflow as tf

    folder = Path(folder)
    described = json.loads((folder / "fields.json").read_text(encoding="utf-8"))
    predict = tf.saved_model.load(str(folder)).signatures["serving_default"]
    given = {name: tf.constant(array) for name, array in inputs(described, columns).items()}
    return predict(**given)[described["output"]].numpy()[:, 0]


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
    print("score", *(scores(Path(__file__).parent, columns) if rows else ()), sep="\n")

"""Reads the cells of a table's files: pandas' fast reader for the values, a second pass for the line of an error.

A file of text is read once for its bytes (digest, encoding, number of separators) and once for its cells. Only if
something is wrong, or cannot be ruled out, Python's `csv` reads it once more, row by row. A Parquet file is read row
group by row group, at most `AT_ONCE` rows at a time, and without the columns that nobody needs.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from deepfm_helpers.own.cells import Place, typed
from deepfm_helpers.own.layouts import SEPARATORS, Column, Source, encoding_mark, nearest
from deepfm_helpers.schema import DataError

BLOCK = 2**24  # bytes
AT_ONCE = 2**17
"""Largest number of rows of a Parquet file that are read at once."""


@dataclass(frozen=True)
class Table:
    """A table with typed columns.

    Attributes:
        frame: the columns that the source describes, without the text columns of rows, see `cells.typed`.
        place: row, counted from 0 -> where it stands, such as "ratings.csv, line 17".
        digests: name -> SHA-256 of each file.
    """

    frame: pd.DataFrame
    place: Place
    digests: dict[str, str]


def read(folder: Path, source: Source) -> Table:
    """Reads the files of a source, one below the other.

    Raises:
        DataError: a file is missing or lies outside the folder, or breaks a rule; the message says which, where, and
            what to do.
    """
    parts, digests = [], {}
    for name, path in named(folder, source).items():
        if path.suffix == ".parquet":
            parts += parquet(path, source)
            digests[name] = digest(path)
        else:
            part, digests[name] = _delimited(path, source)
            parts.append(part)
    if len(parts) == 1:
        return Table(*parts[0], digests)
    starts = [0, *accumulate(len(frame) for frame, _ in parts[:-1])]

    frames, places = zip(*parts, strict=True)

    def place(row: int) -> str:
        number = bisect_right(starts, row) - 1
        return places[number](row - starts[number])

    return Table(pd.concat(frames, ignore_index=True), place, digests)


def named(folder: Path, source: Source) -> dict[str, Path]:
    """Returns the files of a source, name below the folder -> path, in the order in which they are read.

    Raises:
        DataError: a file is missing, lies outside the folder or is named twice, or no file matches a pattern.
    """
    found: dict[str, Path] = {}
    for name in source.files:
        names = matching(folder, name)
        if not names:
            raise DataError(
                f"{folder / name}: no file matches this pattern; correct it in [{source.section}], or put files there"
            )
        for one in names:
            if one in found:
                raise DataError(
                    f"{found[one]}: {name!r} names this file a second time; drop one of the names"
                )
            found[one] = inside(folder, one)
    return found


def matching(folder: Path, name: str) -> list[str]:
    """Returns the names of the files below a folder that a pattern names, sorted; a name that is no pattern as it is.

    As in a shell, files whose name begins with a point match no pattern.
    """
    if not any(sign in name for sign in "*?[") or (folder / name).is_file():
        return [name]
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return [name]  # which `inside` refuses
    paths = [path for path in folder.glob(name) if path.is_file() and not path.name.startswith(".")]
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inside(folder: Path, name: str) -> Path:
    """Returns the path of a file below a folder.

    Raises:
        DataError: the path leads out of the folder, or there is no such file.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{path}: the path leads out of the folder {folder}; put the file into the folder")
    if not path.is_file():
        there = [p.relative_to(folder).as_posix() for p in sorted(folder.iterdir()) if p.is_file()]
        raise DataError(f"{path}: there is no such file{nearest(name, there)}")
    return path


def of_frame(cells: pd.DataFrame, source: Source, place: Place, what: str) -> pd.DataFrame:
    """Returns the columns of a source with their types; `what` names the file or the frame in messages.

    Raises:
        DataError: the columns are not those of the source, there is no row, or see `cells.typed`.
    """
    check_header(list(cells.columns), source, what)
    if cells.empty:
        raise DataError(f"{what}: there is no row; a table needs at least one")
    return _typed(cells, source, place)


def _typed(cells: pd.DataFrame, source: Source, place: Place) -> pd.DataFrame:
    """Returns the columns that somebody needs, with their types."""
    return pd.DataFrame(
        {
            name: typed(cells[name], column, place, name in source.required)
            for name, column in source.columns.items()
            if _needed(source, column)
        }
    )


def _needed(source: Source, column: Column) -> bool:
    return source.section != "rows" or column.kind != "text"


def check_header(header: list, source: Source, what: str) -> None:
    """Raises DataError unless the header names each column of the source once, and no other."""
    for name in header:
        if header.count(name) > 1:
            raise DataError(f"{what}: the header names column {name!r} twice; rename one of the two")
    for name in source.columns:
        if name not in header:
            alone = str(header[0])
            if len(header) == 1 and (found := [s for s in SEPARATORS if s in alone]):
                raise DataError(
                    f"{what}: the header is one cell, {alone!r}; if {found[0]!r} separates the cells, write "
                    f"separator = {found[0]!r} in [{source.section}]"
                )
            raise DataError(f"{what}: the header has no column {name!r}{nearest(name, [*map(str, header)])}")
    for name in header:
        if name == "" or str(name).startswith("Unnamed: "):
            raise DataError(
                f"{what}: a column has no name, as when pandas writes its index; save with index=False, or name it"
            )
        if name not in source.columns:
            raise DataError(
                f"{what}: column {name!r} is not described; add it to [{source.section}.columns], as 'text' if the "
                "model shall not see it"
            )


def header_of(path: Path, source: Source) -> list[str]:
    """Returns the names of a file's columns, read with the separator and the encoding of a source.

    Raises:
        DataError: the file cannot be read, or is empty.
    """
    if path.suffix == ".parquet":
        with _opened_parquet(path) as file:
            return _names(file)
    form = Form(source.separator or usual_separator(path), source.encoding)
    _scan(path, form)
    rows, header = _opened(path, form)
    rows.close()
    return header


class Form(NamedTuple):
    """How a file of text is written: the character between two cells, and the encoding."""

    separator: str
    encoding: str


def usual_separator(path: Path) -> str:
    """Returns the separator that the ending of a name promises."""
    return "\t" if path.suffix == ".tsv" else ","


def parquet(path: Path, source: Source) -> Iterator[tuple[pd.DataFrame, Place]]:
    """Yields the typed columns of a Parquet file part by part, and for each part where its rows stand.

    A part has at most `AT_ONCE` rows, all of one row group; rows and row groups are counted from 1 in messages.

    Raises:
        DataError: the file is no Parquet file, its columns are not those of the source, it holds no row, a column has a
            type of which no value can be made, or see `cells.typed`.
    """
    with _opened_parquet(path) as file:
        check_header(_names(file), source, str(path))
        _check_types(file, source, path)
        if not file.metadata.num_rows:
            raise DataError(f"{path}: there is no row; a table needs at least one")
        wanted = [name for name, column in source.columns.items() if _needed(source, column)]
        for group in range(file.metadata.num_row_groups):
            row = 0
            for batch in file.iter_batches(AT_ONCE, row_groups=[group], columns=wanted):
                cells = batch.to_pandas(types_mapper=_whole, date_as_object=False, ignore_metadata=True)
                place = _PlaceInGroup(path, group, row)
                yield _typed(cells, source, place), place
                row += len(cells)


class _PlaceInGroup(NamedTuple):
    """Says where a row of a part stands that begins with row `start` of a row group, both counted from 0."""

    path: Path
    group: int
    start: int

    def __call__(self, row: int) -> str:
        return f"{self.path}, row group {self.group + 1}, row {self.start + row + 1}"


@contextmanager
def _opened_parquet(path: Path):
    """Opens a Parquet file so that a column of a row group is read page by page; tells what is wrong with the file."""
    import pyarrow  # which takes a moment
    from pyarrow import parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
            yield file
    except DataError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{path}: no Parquet file, or a damaged one ({first}); write it again") from error


def rows_of_parquet(path: Path) -> int:
    """Returns the number of rows of a Parquet file.

    Raises:
        DataError: it is no Parquet file.
    """
    with _opened_parquet(path) as file:
        return file.metadata.num_rows


def first_rows_of_parquet(path: Path, n: int) -> pd.DataFrame:
    """Returns the first rows of a Parquet file as pandas holds them, and no more than a part beyond `n`.

    Raises:
        DataError: it is no Parquet file.
    """
    import pyarrow

    found, rows = [], 0
    with _opened_parquet(path) as file:
        names = _names(file)
        for batch in file.iter_batches(AT_ONCE, columns=names):
            found.append(batch)
            if (rows := rows + len(batch)) >= n:
                break
        schema = pyarrow.schema([file.schema_arrow.field(name) for name in names])
        return pyarrow.Table.from_batches(found, schema).to_pandas(ignore_metadata=True)


def _names(file) -> list[str]:
    """Returns the columns of a Parquet file, without the index that pandas adds to a frame."""
    return [name for name in file.schema_arrow.names if not re.fullmatch(r"__index_level_\d+__", name)]


def _check_types(file, source: Source, path: Path) -> None:
    """Raises DataError at a column whose cells are lists or records, of which pandas makes objects of its own."""
    from pyarrow import types

    for name, column in source.columns.items():
        kind = file.schema_arrow.field(name).type
        if _needed(source, column) and types.is_nested(kind):
            remedy = (
                f"join the values of a cell with {column.separator!r}" if column.separator else "convert it"
            )
            raise DataError(
                f"{path}, column {name!r}: its type is {kind}, and a {column.kind} column has one value or one text in "
                f"a cell; {remedy}, or declare it as 'text'"
            )


def _whole(kind):
    """Returns the type of pandas that holds whole numbers of an Arrow type and missing ones, None for another type."""
    from pyarrow import types

    if types.is_signed_integer(kind):
        return pd.Int64Dtype()
    return pd.UInt64Dtype() if types.is_unsigned_integer(kind) else None


def _delimited(path: Path, source: Source) -> tuple[tuple[pd.DataFrame, Place], str]:
    """Returns the typed columns of a file of text, where its rows stand, and its SHA-256."""
    form = Form(source.separator or usual_separator(path), source.encoding)
    sha256, n_separators, has_quotes = _scan(path, form)
    rows, header = _opened(path, form)
    check_header(header, source, f"{path}, line 1")
    start = next(rows, (2, None))[1]
    rows.close()
    if start is None:
        raise DataError(f"{path}: there is a header and no row; a table needs at least one")
    if len(start) != len(header):
        check_widths(path, form)
    types = {name: _type(source, name, cell) for name, cell in zip(header, start, strict=True)}
    try:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)  # a number that is too large for its type
                cells = read_cells(path, form, types)
        except (ValueError, TypeError, OverflowError, RuntimeWarning):
            # A cell is not what its column declares: as text it can be shown.
            cells = read_cells(path, form, dict.fromkeys(header, "str"))
    except (ValueError, OverflowError) as error:  # the rows have different lengths, or a quote is left open
        check_widths(path, form)
        raise DataError(f"{path}: {error}; write the file again") from error
    expected = (len(header) - 1) * (len(cells) + 1)
    # pandas fills a row that is too short, so that its last cell is missing. Where cells may hold separators, their
    # number proves nothing.
    if n_separators != expected or (has_quotes and cells[header[-1]].isna().any()):
        check_widths(path, form)

    def place(row: int) -> str:
        return f"{path}, line {_line(path, form, row)}"

    return (of_frame(cells, source, place, str(path)), place), sha256


def _opened(path: Path, form: Form) -> tuple[Iterator[tuple[int, list[str]]], list[str]]:
    """Returns the rows below the header of a file, see `_rows`, and the header."""
    rows = _rows(path, form)
    header = next(rows, (1, []))[1]
    if not any(header):
        raise DataError(f"{path}: the file is empty; it needs a header and rows")
    return rows, header


def _scan(path: Path, form: Form) -> tuple[str, int, bool]:
    """Returns the SHA-256 of a file, its number of separators, and whether it holds quotes; checks its encoding."""
    separator, encoding = form
    sha256, decoder = hashlib.sha256(), codecs.getincrementaldecoder(encoding)()
    n_separators, has_quotes, lines = 0, False, 0
    with open(path, "rb") as file:
        more = True
        while more:
            more = bool(block := file.read(BLOCK))
            if not lines and (mark := encoding_mark(block[:3])) and mark != encoding:
                remedy = f"write encoding = {mark!r}" if mark == "utf-8-sig" else "save it as UTF-8"
                raise DataError(f"{path}, line 1: a byte order mark begins the file; {remedy}")
            if (zero := block.find(b"\0")) >= 0:
                line = 1 + lines + block.count(b"\n", 0, zero)
                raise DataError(
                    f"{path}, line {line}: a zero byte, so this is no table; write the file again"
                )
            try:
                decoder.decode(block, final=not more)
            except UnicodeDecodeError as error:
                before = len(error.object) - len(block)  # bytes of a character that began in the block before
                line = 1 + lines + block.count(b"\n", 0, max(error.start - before, 0))
                strange = f"byte 0x{error.object[error.start]:02x}"
                raise DataError(
                    f"{path}, line {line}: {strange} is no {encoding}; save the file as UTF-8, or name its encoding, "
                    "as in encoding = 'latin-1'"
                ) from error
            sha256.update(block)
            n_separators += block.count(separator.encode(encoding.removesuffix("-sig")))
            has_quotes = has_quotes or b'"' in block
            lines += block.count(b"\n")
    return sha256.hexdigest(), n_separators, has_quotes


def _type(source: Source, name: str, start: str) -> str:
    """Returns the type as which pandas shall read a column, given its first cell."""
    column = source.columns[name]
    if column.kind == "numeric":
        return "float64"
    if column.whole:
        return "int64" if name in source.required else "Int64"
    return "int64" if column.kind == "time" and start.isdecimal() else "str"


def read_cells(path: Path, form: Form, types: dict[str, str] | str, n: int | None = None) -> pd.DataFrame:
    """Returns the cells of a file, or of its first `n` rows, as these types; an empty cell is missing."""
    return pd.read_csv(
        path,
        sep=form.separator,
        encoding=form.encoding,
        dtype=types,
        nrows=n,
        keep_default_na=False,
        na_values=[""],
        skip_blank_lines=False,
    )


def _rows(path: Path, form: Form) -> Iterator[tuple[int, list[str]]]:
    """Yields the number of its first line and the cells of each row, the header first."""
    with open(path, encoding=form.encoding, newline="") as file:
        reader, line = csv.reader(file, delimiter=form.separator, strict=True), 1
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise DataError(
                    f"{path}, line {line}: a quote is opened and not closed, or not doubled inside a cell ({error}); "
                    "correct this line"
                ) from error
            if cells is None:
                return
            yield line, cells
            line = reader.line_num + 1


def check_widths(path: Path, form: Form) -> None:
    """Raises DataError at the first row that has not as many cells as the header, or leaves a quote open."""
    rows = _rows(path, form)
    width = len(next(rows, (1, []))[1])
    for line, cells in rows:
        if len(cells) != width:
            found = f"{len(cells)} cells where the header has {width}" if cells else "the line is empty"
            raise DataError(
                f"{path}, line {line}: {found}; correct this line, or put quotes around its cells"
            )


def _line(path: Path, form: Form, row: int) -> int:
    """Returns the number of the line on which a row begins."""
    return next(line for i, (line, _) in enumerate(_rows(path, form), -1) if i == row)

"""The door for data: a file, a folder, a zip, a table or an iterable in; sources out."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zipfile import Path as ZipPath

import narwhals as nw

from llmrec.data import movielens, recbole
from llmrec.data.sources import Kind, Source, shown
from llmrec.data.tables import Table, damaged, frame_table, iterable_table, parquet_table
from llmrec.data.textfiles import Opener, csv_table, json_lines_table, tsv_table
from llmrec.errors import ImportRefused

__all__ = ["FILE_FORMATS", "detect", "read"]

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    **dict.fromkeys(recbole.SUFFIXES, "recbole"),
}
_TEXT_TABLES = {"csv": csv_table, "tsv": tsv_table, "jsonl": json_lines_table}
FILE_FORMATS = ("csv", "tsv", "jsonl", "parquet", "recbole", "movielens")


def read(
    data: Any,
    kind: Kind,
    *,
    format: str | None = None,
    rename: Mapping[str, str] | None = None,
) -> tuple[Source, ...]:
    """Sources of one kind from a path, a pandas, polars or pyarrow table, or an iterable of records or dicts.

    A folder or zip is taken as a data set (MovieLens, RecBole), and gives what it has of this kind.

    Args:
        data: Where the rows are; None for nowhere.
        kind: users, items or events.
        format: One of FILE_FORMATS; by default the suffix decides.
        rename: Our column name for each column that has another one.

    Raises:
        ImportRefused: There is no such file or format, it is empty or damaged, or its columns do not fit.
        MissingExtraError: Reading it needs a package that is not installed.
    """
    _check_options(format, rename)
    if data is None:
        return ()
    if isinstance(data, str | Path):
        path = Path(data)
        if path.is_dir() or _is_zip(path):
            return tuple(source for source in _dataset_sources(path, format) if source.kind == kind)
        return (_file_source(path, kind, _format_of(path, format), rename),)
    return (_in_memory(data).to_source(kind, rename),)


def _check_options(file_format: object, rename: object) -> None:
    # Also where nothing is read by them: a misspelt option must not be ignored in silence.
    if file_format is not None and file_format not in FILE_FORMATS:
        raise ImportRefused(f"there is no format {file_format!r}", hint=f"name one of {', '.join(FILE_FORMATS)}")
    if rename is None:
        return
    if not isinstance(rename, Mapping) or not all(isinstance(name, str) for pair in rename.items() for name in pair):
        raise ImportRefused(
            f"rename = {shown(rename)} does not map names to names", hint="write it like {'userId': 'user_id'}"
        )


def detect(path: str | Path) -> str | None:
    """The format of a file by its suffix, of a folder or zip by what it holds; None where it is not known."""
    path = Path(path)
    if path.is_dir() or _is_zip(path):
        return next(iter(_dataset_files(path)), None)
    return _SUFFIXES.get(_suffix(path))


def _dataset_sources(path: Path, wanted: str | None) -> list[Source]:
    found = _dataset_files(path)
    name = wanted or next(iter(found), None)
    if name is None or name not in found:
        raise ImportRefused(
            f"{path} holds no data set that is known{f' as {wanted}' if wanted else ''}",
            hint="MovieLens has ratings.csv, ratings.dat or u.data, RecBole NAME.inter; name other files one by one",
        )
    return [_dataset_source(name, file) for file in found[name]]


def _in_memory(data: Any) -> Table:
    if nw.dependencies.is_into_dataframe(data) or nw.dependencies.is_polars_lazyframe(data):
        return frame_table(data)
    if isinstance(data, Iterable) and not isinstance(data, bytes | Mapping):
        return iterable_table(data)
    raise ImportRefused(
        f"data of type {type(data).__name__} holds no rows",
        hint="give a path, a table, or a list of records or of dicts",
    )


def _file_source(path: Path, kind: Kind, file_format: str, rename: Mapping[str, str] | None) -> Source:
    name = str(path)
    opener: Opener = (lambda: gzip.GzipFile(path)) if path.suffix == ".gz" else (lambda: path.open("rb"))
    if file_format == "parquet":
        return parquet_table(path, name).to_source(kind, rename)
    if file_format in _TEXT_TABLES:
        return _TEXT_TABLES[file_format](name, opener).to_source(kind, rename)
    source = _dataset_source(file_format, path)
    if source.kind != kind:
        raise ImportRefused(f"{name} holds {source.kind}, not {kind}", hint=f"import it as {source.kind}")
    return source


def _format_of(path: Path, given: str | None) -> str:
    if not path.exists():
        raise ImportRefused(f"there is no file {path}", hint="check the path")
    found = given or _SUFFIXES.get(_suffix(path))
    if found is None:
        raise ImportRefused(
            f"{path}: the format cannot be told from the file's name", hint=f"name one of {', '.join(FILE_FORMATS)}"
        )
    return found


def _suffix(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.exists()


def _dataset_source(file_format: str, file: Traversable) -> Source:
    name = str(file)
    if file_format == "recbole" and Path(file.name).suffix in recbole.SUFFIXES:
        return recbole.recbole_source(name, lambda: file.open("rb"))
    if file_format == "movielens" and file.name in movielens.FILES:
        return movielens.movielens_source(name, file.name, lambda: file.open("rb"))
    raise ImportRefused(f"{name} is no file of {file_format}", hint="check its name, or name another format")


def _dataset_files(path: Path) -> dict[str, list[Traversable]]:
    """The files of each data set format, in the folder or zip itself or one level down."""
    try:
        root: Traversable = ZipPath(path) if _is_zip(path) else path
        folders = [root, *(folder for folder in _listed(root) if folder.is_dir())]
        for folder in folders:
            if found := _known_files([file for file in _listed(folder) if file.is_file()]):
                return found
    except (OSError, BadZipFile) as error:
        raise damaged(str(path), error) from error
    return {}


def _listed(folder: Traversable) -> list[Traversable]:
    return sorted(folder.iterdir(), key=lambda file: file.name)


def _known_files(files: list[Traversable]) -> dict[str, list[Traversable]]:
    names = {file.name for file in files}
    found = {}
    if any(pair <= names for pair in movielens.MARKS):
        found["movielens"] = [file for file in files if file.name in movielens.FILES]
    atomic = [file for file in files if Path(file.name).suffix in recbole.SUFFIXES]
    if len({Path(file.name).suffix for file in atomic}) < len(atomic):
        raise ImportRefused(
            f"several atomic files of one kind: {', '.join(file.name for file in atomic)}",
            hint="import them one by one",
        )
    if atomic:
        found["recbole"] = atomic
    return found

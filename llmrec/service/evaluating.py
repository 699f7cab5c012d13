"""`llmrec evaluate` and the evaluation scripts: from data to a report on the terminal, as JSON and as a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray

import llmrec
from llmrec.artifacts import cache_dir
from llmrec.config import Settings
from llmrec.data.cells import time_of
from llmrec.data.sources import BadRow
from llmrec.errors import ConfigError, ReleaseError
from llmrec.evaluation import (
    EvaluationData,
    Lineup,
    Protocol,
    Report,
    data_from_files,
    data_from_store,
    report_page,
    require_plots,
    standard_report,
    stored_outcomes,
    text_vectors,
)
from llmrec.files import replace_file, writing
from llmrec.models import Encoder, TextEncoder, resolve
from llmrec.retrieval import FittedEncoder
from llmrec.service.printing import print_json, print_report, say

__all__ = ["Files", "Outputs", "evaluate_data", "evaluate_workspace", "kept_directory", "lineup_of", "share_or_time"]

_STDOUT = Path("-")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)")
_EARLIEST = 1e8
"""A number above it is a time, in seconds since 1970; below it the author may have meant anything."""
_CREDITED = (
    "What was shown is credited to the release that was the newest one then. After a rollback that is not the one that "
    "made it."
)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a report goes, besides the terminal.

    Args:
        json: A file; ``-`` for standard output, which then holds nothing else.
        html: A file.
    """

    json: Path | None = None
    html: Path | None = None

    def check(self) -> None:
        """Refuse now, and not after hours of training, what could not be written then.

        Raises:
            ConfigError: A path is a directory, both are one file, or the page is to go to standard output.
            StoreError: A file cannot be written there.
            MissingExtraError: The page is wanted and matplotlib is not installed.
        """
        if self.html == _STDOUT:
            raise ConfigError("the page cannot go to standard output", hint="name a file: --html report.html")
        if self.json is not None and self.html is not None and self.json.resolve() == self.html.resolve():
            raise ConfigError(f"both reports would be {self.json}", hint="name another file for one of them")
        for path in (self.json, self.html):
            if path is None or path == _STDOUT:
                continue
            if path.is_dir():
                raise ConfigError(f"{path} is a directory", hint=f"name a file, such as {path / 'report'}")
            with writing(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                TemporaryFile(dir=path.parent).close()
        if self.html is not None:
            require_plots()

    def keep(self, report: Report) -> None:
        """Write the report, and print it unless standard output is JSON."""
        form = report.to_dict()
        if self.json is not None and self.json != _STDOUT:
            _write(self.json, json.dumps(form, ensure_ascii=False, indent=2))
        if self.html is not None:
            _write(self.html, report_page(report))
        if self.json == _STDOUT:
            print_json(form)
        else:
            print_report(report)


@dataclass(frozen=True, slots=True)
class Files:
    """What `llmrec evaluate` measures on when it is not a workspace; see `data_from_files`."""

    events: Path | None
    items: Path | None
    users: Path | None
    format: str | None
    rename: Mapping[str, str]

    def read(self) -> EvaluationData:
        """The data.

        Raises:
            ConfigError: No events are named.
        """
        if self.events is None:
            raise ConfigError("there are no events to foretell", hint="name them: --events FILE, or --data FOLDER")
        return data_from_files(
            self.events.resolve().name, self.events, self.items, self.users, format=self.format, rename=self.rename
        )


def lineup_of(
    settings: Settings,
    *,
    seed: int | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    baselines_only: bool = False,
    sasrec: bool = False,
    gru: bool = False,
    shipped: Path | None = None,
) -> Lineup:
    """Which systems take part, with their trainings in the cache.

    Args:
        settings: How to train.
        seed: Of the first training; None: as configured.
        seeds: How many trainings; None: one.
        epochs: At most; None: as configured.
        baselines_only: Train nothing.
        sasrec: Train the same network without texts too.
        gru: Train the second encoder too.
        shipped: Directory of an encoder that is measured, instead of training one.

    Raises:
        ConfigError: There would be nothing to train, or it is said how to train nothing.
        ReleaseError: The shipped encoder cannot be read, or is for another text encoder.
    """
    for name, given in {"seeds": seeds, "epochs": epochs}.items():
        if given is not None and given < 1:
            raise ConfigError(f"there is nothing to train with {given} {name}", hint=f"give 1 or more --{name}")
    for option, given in {"--baselines-only": baselines_only, "--encoder": shipped is not None}.items():
        if given and (seeds or epochs or sasrec or gru or (shipped and baselines_only)):
            raise ConfigError(
                f"{option}: nothing is trained", hint=f"drop all other options about training, or drop {option}"
            )
    first = settings.fit.seed if seed is None else seed
    encoder = settings.encoder.model_copy(update={"epochs": epochs or settings.encoder.epochs})
    return Lineup(
        settings.model_copy(update={"encoder": encoder}),
        range(first, first + (seeds or 1)),
        baselines_only=baselines_only,
        sasrec=sasrec,
        gru=gru,
        shipped=None if shipped is None else _shipped_encoder(shipped, settings),
        checkpoints=kept_directory(),
        progress=True,
    )


def evaluate_data(data: EvaluationData, lineup: Lineup, protocol: Protocol) -> Report:
    """The report on data that is in no workspace; the texts' vectors are kept in the cache."""

    def embed(ordered: EvaluationData) -> NDArray[np.float32]:
        encoder = load_text_encoder(lineup.settings)
        return text_vectors(ordered.texts or (), encoder, kept_directory(), progress=lineup.progress)

    with _going_on(lineup):
        return standard_report(data, embed, lineup, protocol)


def evaluate_workspace(rec: llmrec.Recommender, lineup: Lineup, protocol: Protocol) -> Report:
    """The report on what a workspace holds, and on what its users did with what was shown to them."""
    data = data_from_store(rec.workspace.root.resolve().name, rec.store)
    releases = rec.releases.list()
    if len(releases) > 1:
        data = replace(data, notes=[_CREDITED])

    def embed(ordered: EvaluationData) -> NDArray[np.float32]:
        # Read after the events, so that it holds every item they are about.
        return rec.catalogue().index.vectors_of(ordered.interactions.item_ids)

    with _going_on(lineup):
        return standard_report(data, embed, lineup, protocol, releases=stored_outcomes(rec.store, releases))


def load_text_encoder(settings: Settings) -> Encoder:
    """The configured one."""
    return TextEncoder.load(resolve(settings.models.text_encoder, "text-encoder"), device=settings.models.device)


def _shipped_encoder(directory: Path, settings: Settings) -> FittedEncoder:
    """The encoder of a release's directory; it reads the vectors of the configured text encoder."""
    try:
        weights, about = (
            (directory / "encoder.safetensors").read_bytes(),
            (directory / "encoder.json").read_text("utf-8"),
        )
        fitted = FittedEncoder.from_parts(weights, json.loads(about))
        made_with = json.loads((directory / "manifest.json").read_text("utf-8"))["text_encoder"]
    except (OSError, ValueError, KeyError, ReleaseError) as error:
        raise ReleaseError(
            f"there is no encoder to read in {directory}: {error}", hint="name a directory such as adapters/ml-1m"
        ) from error
    if made_with != load_text_encoder(settings).fingerprint:
        raise ReleaseError(
            f"the encoder in {directory} reads the vectors of another text encoder",
            hint="set text_encoder in [models] to the one it was trained with",
        )
    return fitted


def kept_directory() -> Path:
    """Where trainings and text vectors are kept, so that a second call is quick."""
    directory = cache_dir() / "evaluation"
    with writing(directory.parent):
        directory.mkdir(parents=True, exist_ok=True)
    return directory


def share_or_time(given: str | None) -> float | datetime | None:
    """A share such as 0.8, or a time: 2024-05-01 (UTC where it has no zone), or seconds since 1970.

    Raises:
        ConfigError: It is neither.
    """
    if given is None:
        return None
    number = float(given) if _NUMBER.fullmatch(given) else None
    if number is not None and 0 < number < 1:
        return number
    try:
        moment = time_of("split_at", given) if number is None or number > _EARLIEST else None
    except BadRow:
        moment = None
    if moment is None:
        hint = "write it like 0.8 or 2024-05-01T12:00:00Z"
        raise ConfigError(f"{given!r} is neither a share of the events nor a time", hint=hint)
    return moment


@contextmanager
def _going_on(lineup: Lineup) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if not lineup.baselines_only:
            say("interrupted: the same command goes on from the last epoch that was finished")
        raise


def _write(path: Path, text: str) -> None:
    with writing(path.parent):
        replace_file(path, text.encode())
    say(f"{path} holds the report")

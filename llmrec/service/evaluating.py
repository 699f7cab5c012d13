"""`llmrec evaluate` and the evaluation scripts: from data to a report on the terminal, as JSON and as a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile

import llmrec
from llmrec.artifacts import cache_dir
from llmrec.config import FILE_NAME, Settings
from llmrec.errors import ConfigError
from llmrec.evaluation import (
    EvaluationData,
    Lineup,
    Protocol,
    ProtocolName,
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
from llmrec.service.printing import print_json, print_report, say

__all__ = ["Files", "Outputs", "Task", "evaluate_data", "evaluate_files", "evaluate_workspace"]

_STDOUT = Path("-")


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
            ConfigError: A path is a directory.
            StoreError: A file cannot be written there.
            MissingExtraError: The page is wanted and matplotlib is not installed.
        """
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
        if self.json == _STDOUT:
            print_json(form)
        else:
            print_report(report)
        if self.json is not None and self.json != _STDOUT:
            _write(self.json, json.dumps(form, ensure_ascii=False, indent=2))
        if self.html is not None:
            _write(self.html, report_page(report))


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
            self.events.name, self.events, self.items, self.users, format=self.format, rename=self.rename
        )


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be foretold, and by which systems; see `Protocol` and `Lineup`.

    Args:
        protocol: Which one.
        split_at: A share or a time, as text.
        cold_items: Share of the items to hold out.
        seed: Of the first training; None: as configured.
        seeds: How many trainings.
        epochs: At most; None: as configured.
        baselines_only: Train nothing.
        sasrec: Train the same network without texts too.
    """

    protocol: ProtocolName = "leave-one-out"
    split_at: str | None = None
    cold_items: float | None = None
    seed: int | None = None
    seeds: int = 1
    epochs: int | None = None
    baselines_only: bool = False
    sasrec: bool = False

    def to_protocol(self) -> Protocol:
        """What is to be foretold.

        Raises:
            ConfigError: The options do not go together, or the split is neither a share nor a time.
        """
        return Protocol(self.protocol, _moment_or_share(self.split_at), self.cold_items)

    def lineup(self, settings: Settings) -> Lineup:
        """Which systems, with their trainings in the cache.

        Raises:
            ConfigError: There would be nothing to train.
        """
        epochs = settings.encoder.epochs if self.epochs is None else self.epochs
        if self.seeds < 1 or epochs < 1:
            raise ConfigError("there is nothing to train with no seeds or no epochs", hint="give 1 or more of each")
        encoder = settings.encoder.model_copy(update={"epochs": epochs})
        seed = settings.fit.seed if self.seed is None else self.seed
        return Lineup(
            settings.model_copy(update={"encoder": encoder}),
            range(seed, seed + self.seeds),
            baselines_only=self.baselines_only,
            sasrec=self.sasrec,
            checkpoints=_kept(),
            progress=True,
        )


def evaluate_files(files: Files, task: Task, workspace: Path) -> Report:
    """The report on files, with the settings of a workspace where there is one."""
    protocol, lineup = task.to_protocol(), task.lineup(Settings.load(workspace / FILE_NAME))
    return evaluate_data(files.read(), lineup, protocol)


def evaluate_data(data: EvaluationData, lineup: Lineup, protocol: Protocol) -> Report:
    """The report on data that is in no workspace; the texts' vectors are kept in the cache."""
    vectors = None
    if data.texts is not None:
        encoder = load_text_encoder(lineup.settings)
        vectors = text_vectors(data.texts, encoder, _kept(), progress=lineup.progress)
    with _going_on():
        return standard_report(data, vectors, lineup, protocol)


def evaluate_workspace(rec: llmrec.Recommender, task: Task) -> Report:
    """The report on what a workspace holds, and on what its users did with what was shown to them."""
    protocol, lineup = task.to_protocol(), task.lineup(rec.settings)
    data = data_from_store(rec.workspace.root.resolve().name, rec.store)
    # Read after the events, so that it holds every item they are about.
    vectors = rec.catalogue().index.vectors_of(data.interactions.item_ids)
    releases = stored_outcomes(rec.store, rec.releases.list())
    with _going_on():
        return standard_report(data, vectors, lineup, protocol, releases=releases)


def load_text_encoder(settings: Settings) -> Encoder:
    """The configured one."""
    return TextEncoder.load(resolve(settings.models.text_encoder, "text-encoder"), device=settings.models.device)


def _kept() -> Path:
    """Where trainings and text vectors are kept, so that a second call is quick."""
    directory = cache_dir() / "evaluation"
    with writing(directory.parent):
        directory.mkdir(parents=True, exist_ok=True)
    return directory


def _moment_or_share(given: str | None) -> float | datetime | None:
    """A share such as 0.8, or a time such as 2024-05-01 (UTC where it has no zone)."""
    if given is None:
        return None
    with suppress(ValueError):
        return float(given)
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        hint = "write it like 0.8 or 2024-05-01T12:00:00Z"
        raise ConfigError(f"{given!r} is neither a share of the events nor a time", hint=hint) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@contextmanager
def _going_on() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say("interrupted: the same command goes on from the last epoch that was finished")
        raise


def _write(path: Path, text: str) -> None:
    with writing(path.parent):
        replace_file(path, text.encode())
    say(f"{path} holds the report")

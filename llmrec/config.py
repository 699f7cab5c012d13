"""Settings: one commented TOML file, overridden by LLMREC_* variables, overridden by arguments.

`Settings.load` is the only reader of the file and the environment. Every key is declared here with its default and its
meaning; an unknown key anywhere is an error, so a misspelt setting cannot be ignored in silence.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from llmrec.errors import ConfigError

__all__ = [
    "FILE_NAME",
    "ExplainSettings",
    "FitSettings",
    "ModelSettings",
    "RankingSettings",
    "RetrievalSettings",
    "Settings",
    "StoreSettings",
]

FILE_NAME = "llmrec.toml"
_PREFIX = "LLMREC_"
# Variables of the same family that are not settings of a workspace.
_OTHER_VARIABLES = frozenset({"LLMREC_CACHE", "LLMREC_OFFLINE"})

Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class StoreSettings(_Section):
    """Where users, items and events are kept."""

    url: SecretStr = SecretStr("")
    """SQLAlchemy URL, such as postgresql+psycopg://user:password@host/name. Empty: llmrec.db in the workspace."""


class ModelSettings(_Section):
    """Which models, and where they run."""

    language_model: str = "smollm2-135m-instruct"
    """Name of a known model (`llmrec models` lists them), a local directory, or OWNER/NAME on the hub."""
    text_encoder: str = "all-minilm-l6-v2"
    """The same, for the model that embeds items."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """auto: bfloat16 on a GPU and on a CPU with AMX, else float32."""


class RetrievalSettings(_Section):
    """How candidates are found."""

    candidates: Positive = 50
    """How many items are retrieved and then ranked by the language model."""
    history_events: Positive = 500
    """How many of a user's newest events are looked at."""
    half_life: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    """An event this many events ago counts half as much as the newest one."""
    filter_seen: bool = True
    """Leave out items the user already has an event with."""


class RankingSettings(_Section):
    """How the language model is asked."""

    enabled: bool = True
    """false: the retriever's order is the answer."""
    history_tokens: Positive = 384
    """Longest shared part of the prompt; older events are left out first."""
    text_tokens: Annotated[int, Field(ge=4)] = 32
    """Longest piece of foreign text (a title, a description, an attribute, a comment)."""
    batch_tokens: Annotated[int, Field(ge=64)] = 4096
    """Longest packed pass; more candidates take several passes over the same shared part."""


class ExplainSettings(_Section):
    """How an explanation is worded."""

    named: Positive = 3
    """How many of the strongest events are named in the text."""


class FitSettings(_Section):
    """How a release is fitted."""

    calibration_users: Annotated[int, Field(ge=0)] = 16
    """Users whose newest event is held out to weigh retrieval against the language model; 0 keeps the prior weights."""
    seed: int = 7
    """Seed of every random choice."""


class Settings(_Section):
    """All settings of a workspace."""

    store: StoreSettings = StoreSettings()
    models: ModelSettings = ModelSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    ranking: RankingSettings = RankingSettings()
    explain: ExplainSettings = ExplainSettings()
    fit: FitSettings = FitSettings()

    @classmethod
    def load(cls, path: Path, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
        """Read the file, then LLMREC_SECTION__KEY variables, then `overrides` ({section: {key: value}}).

        Raises:
            ConfigError: The file is no TOML, a key is unknown, or a value is out of range.
        """
        values = _read_file(path)
        for layer in (_read_environment(os.environ), overrides or {}):
            for section, keys in layer.items():
                values[section] = {**values.get(section, {}), **keys}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_first_problem(error), hint=f"see the comments in {path}") from error

    def to_toml(self) -> str:
        """A TOML file with every setting and its meaning; those that have their default are commented out."""
        return "".join(_toml_lines(self))


def _read_file(path: Path) -> dict[str, dict[str, Any]]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", hint="correct that line") from error
    for section, keys in values.items():
        if not isinstance(keys, dict):
            raise ConfigError(f"{path}: {section} stands outside any section", hint="put it under [models] or so")
    return values


def _read_environment(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = {}
    for name, value in environment.items():
        if not name.startswith(_PREFIX) or name in _OTHER_VARIABLES:
            continue
        section, _, key = name.removeprefix(_PREFIX).lower().partition("__")
        if not key:
            raise ConfigError(
                f"the variable {name} is no setting", hint="write LLMREC_SECTION__KEY, such as LLMREC_MODELS__DEVICE"
            )
        values.setdefault(section, {})[key] = value
    return values


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {place}"
    return f"{place} = {problem['input']!r}: {problem['msg'].lower()}"


def _toml_lines(settings: Settings) -> Iterator[str]:
    yield "# Settings of this llmrec workspace. A line that begins with # shows a default; remove the # to change it.\n"
    yield "# A variable such as LLMREC_RANKING__ENABLED=false overrides this file, an argument overrides both.\n"
    for name, section in settings:
        yield f"\n[{name}]\n# {type(section).__doc__}\n"
        for key, declared in type(section).model_fields.items():
            value = getattr(section, key)
            mark = "#" if value == declared.default else ""
            yield f"# {declared.description}\n{mark}{key} = {_toml_value(value)}\n"


def _toml_value(value: object) -> str:
    if isinstance(value, SecretStr):
        return _toml_value(value.get_secret_value())
    # JSON's strings, numbers and truth values are also TOML's.
    return json.dumps(value, ensure_ascii=False)

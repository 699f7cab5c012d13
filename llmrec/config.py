"""Settings: one commented TOML file, overridden by LLMREC_* variables, overridden by arguments.

`Settings.load` is the only reader of the file and the environment. Every key is declared here with its default and its
meaning; an unknown key anywhere is an error, so a misspelt setting cannot be ignored in silence.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from llmrec.errors import ConfigError

__all__ = [
    "FILE_NAME",
    "EncoderSettings",
    "ExplainSettings",
    "FeedbackSettings",
    "FitSettings",
    "LearningSettings",
    "ModelSettings",
    "RankingSettings",
    "RetrievalSettings",
    "ServiceSettings",
    "Settings",
    "StoreSettings",
    "given_sections",
]

FILE_NAME = "llmrec.toml"
_PREFIX = "LLMREC_"
# Variables of the same family that are not settings of a workspace.
_OTHER_VARIABLES = frozenset({"LLMREC_CACHE", "LLMREC_LOG", "LLMREC_OFFLINE"})

Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class StoreSettings(_Section):
    """Where users, items and events are kept."""

    url: SecretStr = SecretStr("")
    """SQLAlchemy URL, such as postgresql+psycopg://user:password@host/name. Empty: llmrec.db in the workspace."""


OWN_STORE: Mapping[str, Mapping[str, str]] = {"store": {"url": ""}}
"""Overrides for a workspace that is thrown away: its events stay in it, whatever database a file or variable names."""


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
    chat_template: bool = False
    """true: the prompt is put to the model as a user's words in its chat template; false: as plain text."""
    compile: bool = False
    """true: compile the language model when it is loaded (half a minute, a C++ compiler); requests gain a twentieth."""


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
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.0
    """From 0, the order of the scores, to 1: how much variety counts in the order of a recommendation."""
    newcomers: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Items nobody took yet get so much of the places on lists, if they are as much of the catalogue; 0: no help."""
    text_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """This share of the candidates are items whose texts are nearest to the newest one's; the next fit applies it."""


class EncoderSettings(_Section):
    """The sequence encoder that `fit` trains; a store with little behaviour goes by the items' texts alone."""

    network: Literal["attention", "gru", "none"] = "attention"
    """attention: a causal transformer; gru: a GRU with attention pooling; none: the decayed mean of the texts."""
    minimum_events: Annotated[int, Field(ge=0)] = 1_000
    """With fewer events that follow another one of their user none is trained."""
    dimension: Positive = 96
    """Length of item and user vectors."""
    layers: Positive = 2
    """Depth."""
    heads: Positive = 2
    """Attention heads; they divide the dimension."""
    max_events: Positive = 200
    """How many of a user's newest events it reads."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of the hidden numbers dropped in training."""
    id_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the items seen by their text alone in a training step, so that new items work."""
    epochs: Positive = 100
    """Passes over all behaviour at most."""
    patience: Positive = 8
    """Stop after so many passes without a better validation NDCG@10."""
    batch_size: Positive = 64
    """Users a step."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    """Of AdamW."""

    @model_validator(mode="after")
    def _heads_divide_the_dimension(self) -> Self:
        if self.dimension % self.heads:
            raise ValueError(f"heads = {self.heads} do not divide dimension = {self.dimension}")
        return self


class RankingSettings(_Section):
    """How the language model is asked."""

    enabled: bool = True
    """false: the retriever's order is the answer."""
    ask: Literal["choice", "title"] = "choice"
    """choice: would they take it, Yes or No; title: how much likelier the history makes an item's title."""
    history_tokens: Positive = 384
    """Longest shared part of the prompt; older events are left out first."""
    text_tokens: Annotated[int, Field(ge=4)] = 32
    """Longest piece of foreign text (a title, a description, an attribute, a comment)."""
    attributes: Annotated[int, Field(ge=0)] = 8
    """At most so many attributes of an item, a user and a situation are told; 0: titles and descriptions alone."""
    evidence: Annotated[int, Field(ge=0, le=5)] = 0
    """Each candidate says how common it is, and of so many items of the history that it often follows them; 0: no."""
    batch_tokens: Annotated[int, Field(ge=64)] = 4096
    """Longest pass of the model, in tokens; more candidates take several."""
    prefix_cache_mb: Annotated[int, Field(ge=0)] = 512
    """Memory of the model's device for shared parts that were read before, so that only candidates are read again."""
    time_limit: Annotated[float, Field(gt=0, le=86_400)] = 120.0
    """Seconds after which the language model is given up and the retriever's order is the answer."""


class ExplainSettings(_Section):
    """How an explanation is worded."""

    named: Positive = 3
    """How many of the strongest events are named in the text."""
    wording: Literal["template", "model"] = "template"
    """model: the language model words it; a sentence that says more than the evidence is dropped. Takes seconds."""


class FitSettings(_Section):
    """How a release is fitted."""

    calibration_users: Annotated[int, Field(ge=0)] = 16
    """Held-out requests that the language model is asked about, to weigh it; 0 keeps the prior weights."""
    seed: int = 7
    """Seed of every random choice."""


class FeedbackSettings(_Section):
    """How what users do is kept, and acts on the next request."""

    record: bool = True
    """Keep every list that is recommended, so that feedback can be read, and learnt from, against what was shown."""
    exploration: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of a list's places that are drawn, likelier items more often, to learn about what is seldom shown."""
    burst_seconds: Weight = 1.0
    """The same feedback again within so many seconds, without an event_id of its own, is a repetition."""
    pushback: Weight = 2.5
    """How far, in log-odds, what a user turned down pushes away an item like it at most; 0: not at all."""
    half_life: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    """Days after which that is half as strong."""
    reading: Literal["sentences", "model"] = "sentences"
    """How comments are read: by what was learnt of sentences, or by the language model too, beside the requests."""
    rated_comments: Annotated[int, Field(ge=0)] = 100
    """From so many comments on, whose writers rated the item, a fit learns from them how comments sound; 0: never."""


class LearningSettings(_Section):
    """How `retrain` trains the language model's adapter."""

    start: Literal["base", "champion"] = "base"
    """What a retraining begins with: the base model, or the live release's adapter, which so goes on evolving."""
    pull: Weight = 0.0
    """What it costs, a nat for a nat, that lists are seen otherwise than at the beginning; it keeps what was known."""
    lists_per_user: Positive = 10
    """Of how many of a user's last events the lists are learnt from, at most half of what they took."""
    crossfit_epochs: Annotated[int, Field(ge=0)] = 0
    """How long the encoder is trained that proposes these lists and never answers; 0: as long as the one that does."""
    others: Positive = 7
    """Items on such a list beside the one that was taken."""
    title_tokens: Positive = 500_000
    """Where the model is asked for titles it learns to write histories, not lists: of about so many tokens an epoch."""
    most_lists: Positive = 20_000
    """Of more lists the users' newest are learnt from."""
    least_events: Annotated[int, Field(ge=0)] = 1
    """So many events must have come since the last retraining of the same settings, or the next one waits."""
    gate_users: Positive = 200
    """On so many held-out requests the new release is compared with the live one."""
    exposure_factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.5
    """An item may come onto so many times as many lists as before, or as users took it who can be trusted."""
    latency_factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    """The new release may take so many times as long for a list."""
    newcomer_quota: Weight = 1.5
    """Of an item, what new accounts take is learnt so many times as often as older ones make expect; 0: no limit."""
    user_quota: Positive = 50
    """Of the lists that were shown to a user, so many choices are learnt from at most, the newest ones."""
    item_quota: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Of all choices from lists that were shown, one item is this share at most (and 5 always)."""
    free_text: bool = False
    """true: what users wrote is learnt from too, without the personal data that Presidio finds (`llmrec[scrub]`)."""
    validation_lists: Positive = 128
    """Whole lists that are held out, to know when the adapter is best."""
    validations: Positive = 4
    """How often in an epoch they are asked about, which takes a second or two a list on two cores."""
    patience: Positive = 3
    """Stop after so many validations without a better one."""
    rank: Positive = 16
    """Of the LoRA adapter, in every linear layer."""
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 32.0
    """The adapter counts alpha / rank."""
    last_layers: Annotated[int, Field(ge=0)] = 0
    """Adapt so many of the model's last layers alone, which is quicker; 0: all."""
    epochs: Positive = 1
    """Passes over the lists at most; asked for titles, each draws histories anew."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 5e-4
    """Of AdamW, at its highest."""
    trees: Positive = 8
    """Prompt trees a step; one holds several lists of one user."""
    tree_tokens: Annotated[int, Field(ge=64)] = 1024
    """Longest tree, in tokens; a single list may be longer."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """Number format of the base in training; auto: bfloat16 wherever it is quicker, on a CPU with AVX-512 too."""
    four_bit: bool = False
    """true: keep the base in 4 bits while training (QLoRA, NF4); needs bitsandbytes."""
    answer_thumbs: Positive = 100
    """Thumbs on replies with a reason from which on `retrain --task answer` trains how reasons are worded."""
    answer_learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    """Of AdamW, in that training."""
    tensorboard: bool = False
    """true: write the course of a training into training/board for TensorBoard; needs tensorboard."""


class ServiceSettings(_Section):
    """How `llmrec serve` answers."""

    at_once: Positive = 4
    """So many requests that need the models are worked on at once."""
    queue: Annotated[int, Field(ge=0)] = 64
    """So many more may wait; others are told when to ask again (503)."""
    batch: Annotated[int, Field(ge=0)] = 0
    """Prompts of so many requests are read in one pass at most; 0: 16 on a GPU, 1 on a CPU, where it gains nothing."""
    requests_a_minute: Annotated[int, Field(ge=0)] = 3_000
    """Of each key, or of each address where none is needed; others are told when to ask again (429). 0: any number."""
    body_bytes: Annotated[int, Field(ge=1_024)] = 1_000_000
    """The longest body of a request."""
    body_seconds: Annotated[float, Field(gt=0, le=3_600)] = 10.0
    """Until the body of a request must be there."""


class Settings(_Section):
    """All settings of a workspace."""

    store: StoreSettings = StoreSettings()
    models: ModelSettings = ModelSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    encoder: EncoderSettings = EncoderSettings()
    ranking: RankingSettings = RankingSettings()
    explain: ExplainSettings = ExplainSettings()
    fit: FitSettings = FitSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    learning: LearningSettings = LearningSettings()
    service: ServiceSettings = ServiceSettings()

    @model_validator(mode="after")
    def _titles_alone_are_asked_for(self) -> Self:
        if self.ranking.ask == "title" and self.ranking.evidence:
            raise ValueError('[ranking] ask = "title" tells titles alone: set evidence = 0 in [ranking]')
        if self.ranking.ask == "title" and self.learning.pull:
            raise ValueError('[ranking] ask = "title" learns texts, which no pull holds: set pull = 0 in [learning]')
        return self

    @classmethod
    def load(
        cls,
        path: Path,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        defaults: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Settings:
        """Read the file, then LLMREC_SECTION__KEY variables, then `overrides` ({section: {key: value}}).

        Args:
            path: The file; where there is none, nothing is read.
            overrides: What holds whatever else is said.
            defaults: What holds where nothing else is said, instead of the usual defaults.

        Raises:
            ConfigError: The file is no TOML, a key is unknown, or a value is out of range.
        """
        values, variables = _read_file(path), _variables(os.environ)
        for section, keys in (defaults or {}).items():
            values[section] = {**keys, **values.get(section, {})}
        for (section, key), name in variables.items():
            values.setdefault(section, {})[key] = os.environ[name]
        for section, keys in (overrides or {}).items():
            values[section] = {**values.get(section, {}), **keys}
            variables = {
                place: name for place, name in variables.items() if place[0] != section or place[1] not in keys
            }
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _refusal(error, path, variables) from error

    def to_toml(self) -> str:
        """A TOML file with every setting and its meaning; those that have their default are commented out."""
        return "".join(_toml_lines(self))


def given_sections(settings: object) -> dict[str, dict[str, Any]]:
    """What is set, by section and key, in settings or a mapping of mappings.

    Raises:
        ConfigError: They are neither.
    """
    if isinstance(settings, Settings):
        return settings.model_dump(exclude_unset=True)
    given = {} if settings is None else settings
    if not isinstance(given, Mapping) or not all(isinstance(keys, Mapping) for keys in given.values()):
        raise ConfigError(f"settings = {settings!r} are none", hint='write settings={"models": {"device": "cpu"}}')
    return {section: dict(keys) for section, keys in given.items()}


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


def _variables(environment: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """(section, key) -> the variable that sets it."""
    variables = {}
    for name in environment:
        if not name.startswith(_PREFIX) or name in _OTHER_VARIABLES:
            continue
        section, _, key = name.removeprefix(_PREFIX).lower().partition("__")
        if not key:
            raise ConfigError(
                f"the variable {name} is no setting", hint="write LLMREC_SECTION__KEY, such as LLMREC_MODELS__DEVICE"
            )
        variables[section, key] = name
    return variables


def _refusal(error: ValidationError, path: Path, variables: Mapping[tuple[str, str], str]) -> ConfigError:
    """The first problem, by the name that the reader wrote: a key of the file, or a variable."""
    problem = error.errors(include_url=False, include_context=False)[0]
    loc = tuple(str(part) for part in problem["loc"])
    if len(loc) < 2 and problem["type"] == "value_error":  # settings that do not go together, and which says why
        said = str(problem["msg"]).removeprefix("Value error, ")
        return ConfigError(said, hint=f"correct it in {path}, or where else it is set")
    variable = next((name for place, name in variables.items() if place[: len(loc)] == loc[:2]), None)
    place, source = variable or ".".join(loc), "the environment" if variable else str(path)
    if problem["type"] != "extra_forbidden":
        hint = f"correct it in {source}; {path} says what each setting means"
        return ConfigError(f"{place} = {problem['input']!r}: {problem['msg'].lower()}", hint=hint)
    meant = difflib.get_close_matches(place, _known_names(is_variable=variable is not None), n=1, cutoff=0.75)
    advice = f"did you mean {meant[0]}?" if meant else f"correct or remove it in {source};"
    return ConfigError(
        f"there is no setting {place}", hint=f"{advice} `llmrec init DIR` writes a file with all settings"
    )


def _known_names(*, is_variable: bool) -> list[str]:
    pairs = [(section, key) for section, model in Settings() for key in type(model).model_fields]
    if is_variable:
        return [f"{_PREFIX}{section}__{key}".upper() for section, key in pairs]
    return [*Settings.model_fields, *map(".".join, pairs)]


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

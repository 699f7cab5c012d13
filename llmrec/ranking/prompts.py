"""The prompt library: every word that reaches the model lives in a template, and every value in it is foreign.

Templates run in an immutable sandbox with StrictUndefined, and are checked when they are loaded: a block or a variable
too many or too few is an error then, not a hole in a prompt later. Rendering gives segments: the template's own words
are trusted, whatever stands in {{ }} is foreign and is tokenised apart from them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from jinja2 import FileSystemLoader, StrictUndefined, Template, TemplateError, TemplateNotFound, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llmrec.errors import PromptError
from llmrec.models import Segment

__all__ = ["TASKS", "PromptLibrary", "Slot", "default_directory"]

TASKS: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "rank": {
        "shared": frozenset({"user", "context", "history", "history_known"}),
        "event": frozenset({"kind", "title", "value", "text"}),
        "candidate": frozenset({"title", "about"}),
    },
    "why": {"why": frozenset({"title", "causes", "against", "shared", "parts", "cold", "popular"})},
}
"""Task -> block -> the variables it is given."""

# Private-use characters mark where a value begins and ends; they are taken out of the values themselves.
_OPEN, _CLOSE, _SLOT = "\ue000", "\ue001", "\ue002"
_MARKS = str.maketrans(dict.fromkeys((_OPEN, _CLOSE, _SLOT), "\ufffd"))
_PIECES = re.compile(f"{_OPEN}(?P<foreign>[^{_CLOSE}]*){_CLOSE}|(?P<slot>{_SLOT})|(?P<trusted>[^{_OPEN}{_SLOT}]+)")


class Slot:
    """Given as a value, it leaves a gap that the caller fills with segments of its own."""


class PromptLibrary:
    """The templates of one directory.

    Args:
        directory: Holds one TASK.jinja for every task.

    Raises:
        PromptError: A template is missing or malformed, or has other blocks or variables than its task.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or default_directory()
        self._environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(self.directory), undefined=StrictUndefined, finalize=_mark
        )
        self._templates = {task: self._load(task) for task in TASKS}

    def render(self, task: str, block: str, **values: object) -> list[Segment | Slot]:
        """One block as segments, in order; a `Slot` stands where a slot was given.

        Raises:
            PromptError: The template fails on these values.
        """
        text = self._rendered(task, block, values)
        return [_segment(match) for match in _PIECES.finditer(text)]

    def text(self, task: str, block: str, **values: object) -> str:
        """One block as plain text, for people."""
        marked = self._rendered(task, block, values)
        return marked.replace(_OPEN, "").replace(_CLOSE, "")

    def fingerprint(self, task: str) -> str:
        """sha256 of the template's source, the first 12 digits."""
        return hashlib.sha256(self._source(task).encode()).hexdigest()[:12]

    def _rendered(self, task: str, block: str, values: Mapping[str, object]) -> str:
        template = self._templates[task]
        try:
            return "".join(template.blocks[block](template.new_context(dict(values))))
        except TemplateError as error:
            raise PromptError(
                f"{task}.jinja, block {block}: {error}", hint=f"correct {self.directory / task}.jinja"
            ) from error

    def _source(self, task: str) -> str:
        return (self.directory / f"{task}.jinja").read_text(encoding="utf-8")

    def _load(self, task: str) -> Template:
        hint = f"correct {self.directory / task}.jinja, or remove `prompts` from the workspace to use the shipped one"
        try:
            template = self._environment.get_template(f"{task}.jinja")
            used = meta.find_undeclared_variables(self._environment.parse(self._source(task)))
        except TemplateNotFound as error:
            raise PromptError(f"there is no {task}.jinja in {self.directory}", hint=hint) from error
        except (TemplateError, UnicodeDecodeError) as error:
            raise PromptError(f"{task}.jinja is no valid template: {error}", hint=hint) from error
        _check(task, set(template.blocks), used, hint)
        return template


def default_directory() -> Path:
    """The shipped templates: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "prompts"
    return installed if installed.is_dir() else package.parent / "prompts"


def _check(task: str, blocks: set[str], used: set[str], hint: str) -> None:
    wanted = set(TASKS[task])
    if blocks != wanted:
        raise PromptError(f"{task}.jinja has the blocks {sorted(blocks)}, not {sorted(wanted)}", hint=hint)
    unknown = used - frozenset().union(*TASKS[task].values())
    if unknown:
        raise PromptError(f"{task}.jinja uses {', '.join(sorted(unknown))}, which the task does not have", hint=hint)


def _mark(value: object) -> str:
    return _SLOT if isinstance(value, Slot) else f"{_OPEN}{str(value).translate(_MARKS)}{_CLOSE}"


def _segment(match: re.Match[str]) -> Segment | Slot:
    if match["slot"]:
        return Slot()
    return Segment(match["trusted"], trusted=True) if match["trusted"] else Segment(match["foreign"], trusted=False)

"""The prompt library: every word that reaches the model lives in a template, and every value in it is foreign.

Templates run in an immutable sandbox with StrictUndefined. When one is loaded, its blocks and variables are compared
with its task's, and it is tried with examples of every value: what would be a hole in a prompt later is an error then.
Rendering gives segments: the template's own words are trusted, whatever stands in {{ }} is foreign and is tokenised
apart from them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from jinja2 import StrictUndefined, Template, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llmrec.errors import PromptError
from llmrec.models import Segment

__all__ = ["TASKS", "Block", "PromptLibrary", "Slot", "default_directory"]


class Slot:
    """Given as a value, it leaves a gap that the caller fills with segments of its own."""


@dataclass(frozen=True, slots=True)
class Block:
    """What a block of a template is given.

    Args:
        examples: Variable -> values like those it gets; the block is tried with every combination when it is loaded.
        needed: Of each of these groups the block must use at least one variable.
        begins: Whether it must begin with words of its own.
    """

    examples: Mapping[str, tuple[object, ...]]
    needed: tuple[frozenset[str], ...] = ()
    begins: bool = False


_KINDS = ("view", "click", "like", "dislike", "hide", "rating", "purchase", "search", "comment", "lent")
_EVENT = {"kind": _KINDS, "title": ("", "Rake"), "value": ("", "4"), "text": ("", "for dry leaves")}
_SAID = ("", "bought Rake")
_FLAG = (False, True)
_SHARED = Block(
    {
        "user": ([], ["age: 31", "place: Oslo"]),
        "context": ([], ["season: winter"]),
        "history": (Slot(),),
        "history_known": _FLAG,
    },
    (frozenset({"history"}),),
)
_TOLD = Block(_EVENT, (frozenset({"title", "text"}),))

TASKS: Final[Mapping[str, Mapping[str, Block]]] = {
    "rank": {
        "shared": _SHARED,
        "event": _TOLD,
        "candidate": Block(
            {
                "title": ("Rake",),
                "about": ([], ["price: 9", "room: garden"]),
                "description": ("", "For dry leaves."),
                "often": ([], ["Hoe"]),
                "sometimes": ([], ["Hose"]),
                "common": (0, 1, 2, 3, 4),
            },
            (frozenset({"title"}),),
        ),
    },
    "title": {
        "shared": _SHARED,
        "event": _TOLD,
        # The first token of what is written is not asked about: it must not be the title's.
        "candidate": Block({"title": ("Rake",)}, (frozenset({"title"}),), begins=True),
    },
    "why": {
        "why": Block(
            {
                "title": ("Rake",),
                "causes": _SAID,
                "against": _SAID,
                "shared": ("", "room: garden"),
                "parts": ("", "+1.00 come from what you took before"),
                "change": ("", "hid Hoe"),
                "gain": ("", "0.50"),
                "cold": _FLAG,
                "unknown": _FLAG,
                "popular": _FLAG,
            },
            (frozenset({"title"}),),
        ),
        "event": Block(_EVENT),
    },
    "answer": {
        "answer": Block(
            {
                "title": ("Rake",),
                "causes": ([], ["bought Hose", "hid Hoe"]),
                "against": ([], ["did not like Pan"]),
                "shared": ([], ["room: garden"]),
            },
            (frozenset({"title"}), frozenset({"causes"}), frozenset({"against"})),
        ),
        "begin": Block({"title": ("Rake",), "causes": _FLAG}),
    },
    "comment": {
        "shared": Block({}),
        "comment": Block({"text": ("Sturdy, but heavy.",)}, (frozenset({"text"}),)),
    },
    "chat": {
        "list": Block(
            {
                "titles": (["Rake", "Hose"],),
                "similar": ("", "Rake"),
                "more": _FLAG,
                "constraints": ([], ["only garden"]),
            },
            (frozenset({"titles"}),),
        ),
        "nothing": Block({"constraints": ([], ["only garden", "price to 9"])}),
        "done": Block({"actions": (["hid Rake"], ["hid Rake", "no garden"])}, (frozenset({"actions"}),)),
        "taken_back": Block({"what": ("", "hid Rake")}),
        "which": Block({"missing": ("", "7"), "shown": _FLAG}),
        "guessed": Block({"title": ("Rake",)}, (frozenset({"title"}),)),
        "unknown": Block({"subject": ("", "length"), "known": ([], ["room: garden, kitchen", "price"])}),
        "why_not": Block(
            {
                "title": ("Rake",),
                "place": ("", "3"),
                "hidden": _FLAG,
                "seen": _FLAG,
                "unlisted": _FLAG,
                "against": ("", "only kitchen"),
                "last": ("", "Hose"),
                "gap": ("", "0.50"),
                "parts": ("", "-0.50 from what you took before"),
                "text": ("", "What spoke against it: you hid Hoe."),
                "change": ("", "hid Hoe"),
                "was": ("", "3"),
                "would": ("", "2"),
            },
            (frozenset({"title"}),),
        ),
        "compare": Block(
            {
                "first": ("Rake",),
                "second": ("Hose",),
                "gap": ("0.50",),
                "parts": ("", "+0.50 from what you took before"),
                "shared": ("", "garden"),
                "only_first": ("", "wood"),
                "only_second": ("", "metal"),
            },
            (frozenset({"first"}), frozenset({"second"})),
        ),
        "profile": Block({"lines": ([], ["you hid Rake"])}),
        "help": Block({"thanks": _FLAG, "example": ("garden",)}),
        "other": Block({}),
    },
}
"""Task -> block -> what it is given."""

# Private-use characters mark where a value begins and ends; they are taken out of the values themselves.
_OPEN, _CLOSE, _SLOT, _REPLACED = "\ue000", "\ue001", "\ue002", "\ufffd"
_MARKS = str.maketrans(dict.fromkeys((_OPEN, _CLOSE, _SLOT), _REPLACED))
_PIECES = re.compile(f"{_OPEN}(?P<foreign>[^{_CLOSE}]*){_CLOSE}|(?P<slot>{_SLOT})|(?P<trusted>[^{_OPEN}{_SLOT}]+)")


@dataclass(frozen=True, slots=True)
class _Loaded:
    path: Path
    template: Template
    fingerprint: str


class PromptLibrary:
    """The templates of one directory; what it lacks is taken from the shipped ones.

    Args:
        directory: Holds TASK.jinja files; None: the shipped templates.

    Raises:
        PromptError: A template is malformed, has other blocks or variables than its task, fails on values like those
            it will get, or belongs to no task.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or default_directory()
        self._environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, finalize=_mark)
        if directory is not None:
            _refuse_strangers(directory)
        self._loaded = {task: self._load(task) for task in TASKS}
        for task, blocks in TASKS.items():
            for name, block in blocks.items():
                self._try(task, name, block)

    def render(self, task: str, block: str, **values: object) -> list[Segment | Slot]:
        """One block as segments, in order; a `Slot` stands where a slot was given, each exactly once.

        Raises:
            PromptError: The template fails on these values.
        """
        text = self._rendered(task, block, values)
        slots = [f"{{{{ {name} }}}}" for name, value in values.items() if isinstance(value, Slot)]
        if text.count(_SLOT) != len(slots):
            message = f"{', '.join(slots)} must stand in it exactly once and unaltered, whatever the other values are"
            raise _refusal(self._loaded[task].path, f", block {block}", message)
        return [_segment(match) for match in _PIECES.finditer(text)]

    def text(self, task: str, block: str, **values: object) -> str:
        """One block as plain text, for people.

        Raises:
            PromptError: The template fails on these values.
        """
        marked = self._rendered(task, block, values)
        return marked.replace(_OPEN, "").replace(_CLOSE, "")

    def fingerprint(self, task: str) -> str:
        """sha256 of the source that the template in use was made from, the first 12 digits."""
        return self._loaded[task].fingerprint

    def _rendered(self, task: str, block: str, values: Mapping[str, object]) -> str:
        loaded = self._loaded[task]
        with _refusing(loaded.path, f", block {block}"):
            return "".join(loaded.template.blocks[block](loaded.template.new_context(dict(values))))

    def _load(self, task: str) -> _Loaded:
        own = self.directory / f"{task}.jinja"
        path = own if own.exists() else default_directory() / own.name
        # The source is read once: what is checked, what is used and what is hashed are then the same.
        with _refusing(path, " is no valid template"):
            source = path.read_text(encoding="utf-8")
            _check(path, TASKS[task], self._environment.parse(source))
            template = self._environment.from_string(source)
        return _Loaded(path, template, hashlib.sha256(source.encode()).hexdigest()[:12])

    def _try(self, task: str, name: str, block: Block) -> None:
        for values in product(*block.examples.values()):
            pieces = self.render(task, name, **dict(zip(block.examples, values, strict=True)))
            if block.begins and not (isinstance(pieces[0], Segment) and pieces[0].trusted):
                raise _refusal(self._loaded[task].path, f", block {name}", "it must begin with words of its own")
            # The examples hold no marks, so one that had to be taken out was put in by the template.
            if any(isinstance(piece, Segment) and _REPLACED in piece.text for piece in pieces):
                message = "it shows what it has rendered before; use neither macros nor {% set %} around {{ }}"
                raise _refusal(self._loaded[task].path, f", block {name}", message)


def default_directory() -> Path:
    """The shipped templates: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "prompts"
    return installed if installed.is_dir() else package.parent / "prompts"


def _refuse_strangers(directory: Path) -> None:
    """A misspelt name would otherwise mean the shipped template, in silence."""
    for path in sorted(directory.glob("*.jinja")):
        if path.stem not in TASKS:
            raise PromptError(
                f"{path.name} is the template of no task",
                hint=f"rename or remove {path}; there are {', '.join(f'{task}.jinja' for task in TASKS)}",
            )


def _check(path: Path, wanted: Mapping[str, Block], tree: nodes.Template) -> None:
    found = {block.name: block for block in tree.find_all(nodes.Block)}
    if set(found) != set(wanted):
        raise _refusal(path, "", f"it has the blocks {sorted(found)}, not {sorted(wanted)}")
    if not all(isinstance(node, nodes.Block) or _is_blank(node) for node in tree.body):
        raise _refusal(path, "", "what stands outside its blocks would never be read")
    for name, block in wanted.items():
        _check_variables(path, name, block, _variables(found[name], tree))


def _check_variables(path: Path, name: str, block: Block, used: set[str]) -> None:
    unknown = used.difference(block.examples)
    if unknown:
        given = ", ".join(block.examples)
        raise _refusal(path, f", block {name}", f"it uses {', '.join(sorted(unknown))}, but is given only {given}")
    for group in block.needed:
        if not group & used:
            raise _refusal(path, f", block {name}", f"it does not use {' or '.join(sorted(group))}")


def _variables(block: nodes.Block, tree: nodes.Template) -> set[str]:
    alone = nodes.Template(block.body, lineno=block.lineno)
    assert tree.environment is not None
    alone.set_environment(tree.environment)
    # jinja counts what is set inside an {% if %} as undeclared; used elsewhere it fails when the block is tried.
    own = {name.name for name in block.find_all(nodes.Name) if name.ctx == "store"}
    return meta.find_undeclared_variables(alone) - own


def _is_blank(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Output) and all(
        isinstance(part, nodes.TemplateData) and not part.data.strip() for part in node.nodes
    )


@contextmanager
def _refusing(path: Path, where: str) -> Iterator[None]:
    """Turn whatever a template does wrong into a PromptError."""
    try:
        yield
    except PromptError:
        raise
    except Exception as error:  # a template is a program, so it can raise whatever a program can
        raise _refusal(path, where, " ".join(str(error).split()) or type(error).__name__) from error


def _refusal(path: Path, where: str, message: str) -> PromptError:
    return PromptError(
        f"{path.name}{where}: {message}", hint=f"correct {path}, or remove it from the workspace to use the shipped one"
    )


def _mark(value: object) -> str:
    if isinstance(value, list | tuple | Mapping):
        raise TypeError(f"{value!r} is no text: loop over it with {{% for %}}")
    return _SLOT if isinstance(value, Slot) else f"{_OPEN}{str(value).translate(_MARKS)}{_CLOSE}"


def _segment(match: re.Match[str]) -> Segment | Slot:
    if match["slot"]:
        return Slot()
    return Segment(match["trusted"], trusted=True) if match["trusted"] else Segment(match["foreign"], trusted=False)

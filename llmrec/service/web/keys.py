"""API keys: shown once, kept as hashes, compared in constant time."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from filelock import FileLock

from llmrec.errors import ConfigError, StoreError
from llmrec.files import replace_file, writing

__all__ = ["ApiKey", "Keys"]

_PREFIX = "llmrec_"
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, without itself.

    Args:
        name: Whose it is.
        sha256: Of the key. It holds 256 random bits, so a hash that is slow on purpose would add nothing.
        created: When, in ISO 8601.
    """

    name: str
    sha256: str
    created: str


class Keys:
    """The keys of a workspace, in a file that only its owner reads; a change of it acts at once.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[int, tuple[ApiKey, ...]] | None = None

    def demanded(self) -> bool:
        """Whether there was ever a key: who removes the last one shuts the door, and does not open it."""
        return self._path.exists()

    def all(self) -> tuple[ApiKey, ...]:
        """Every key.

        Raises:
            StoreError: The file is damaged.
        """
        try:
            changed = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return ()
        if self._read is None or self._read[0] != changed:
            try:
                found = tuple(ApiKey(**one) for one in json.loads(self._path.read_text(encoding="utf-8")))
            except (ValueError, TypeError, OSError) as error:
                hint = "write [] into it and make new keys; nobody is let in meanwhile"
                raise StoreError(f"{self._path} is damaged: {error}", hint=hint) from error
            self._read = (changed, found)
        return self._read[1]

    def add(self, name: str) -> str:
        """Make a key; it is not kept, so this is the only time it can be seen.

        Raises:
            ConfigError: There is one of that name, or the name is none.
        """
        if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
            raise ConfigError(
                f"{name[:_LONGEST_NAME]!r} is no name for a key", hint="name what uses it: llmrec keys add shop-web"
            )
        key = _PREFIX + secrets.token_urlsafe(32)
        made = ApiKey(name, _hash(key), datetime.now(UTC).isoformat(timespec="seconds"))
        with self._changing():
            if any(one.name == name for one in self.all()):
                raise ConfigError(f"there is a key {name!r} already", hint="remove it first, or choose another name")
            self._write((*self.all(), made))
        return key

    def remove(self, name: str) -> None:
        """Make a key invalid.

        Raises:
            ConfigError: There is none of that name.
        """
        with self._changing():
            left = tuple(one for one in self.all() if one.name != name)
            if len(left) == len(self.all()):
                raise ConfigError(f"there is no key {name!r}", hint="`llmrec keys` lists them")
            self._write(left)

    def owner(self, key: str) -> str | None:
        """Whose key it is; None: nobody's. Every key is compared, however soon one fits."""
        given, found = _hash(key), None
        for one in self.all():
            if hmac.compare_digest(one.sha256, given):
                found = one.name
        return found

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with writing(self._path.parent), FileLock(self._path.with_name(f".{self._path.name}.lock")):
            yield

    def _write(self, keys: tuple[ApiKey, ...]) -> None:
        replace_file(self._path, json.dumps([asdict(one) for one in keys], indent=2).encode(), mode=0o600)
        self._read = None


def _hash(key: str) -> str:
    return sha256(key.encode("utf-8", "replace")).hexdigest()

"""Releases that come with llmrec."""

from __future__ import annotations

from pathlib import Path

__all__ = ["shipped_release"]


def shipped_release(name: str) -> Path | None:
    """Where the release of that name lies: inside an installed package, beside it in a checkout; None: nowhere."""
    package = Path(__file__).parents[1]
    homes = (package / "adapters" / name, package.parent / "adapters" / name)
    return next((home for home in homes if (home / "manifest.json").is_file()), None)

"""What goes live, as one versioned whole (files and rows only, no torch)."""

from llmrec.releases.release import Release, ReleaseStore

__all__ = ["Release", "ReleaseStore"]

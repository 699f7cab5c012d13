"""What goes live, as one versioned whole (files and rows only, no torch)."""

from llmrec.releases.release import Release, ReleaseStore
from llmrec.releases.shipped import shipped_release

__all__ = ["Release", "ReleaseStore", "shipped_release"]

"""What goes live, as one versioned whole (files and rows only, no torch)."""

from llmrec.releases.release import Release, ReleaseStore, sealed
from llmrec.releases.shipped import shipped_release

__all__ = ["Release", "ReleaseStore", "sealed", "shipped_release"]

"""What becomes of a release once the gate has judged it: its report, the log, and the pointer if it passed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from llmrec.files import replace_file
from llmrec.learning.verdict import Verdict
from llmrec.releases import Release, ReleaseStore

__all__ = ["settle"]


def settle(releases: ReleaseStore, release: Release, verdict: Verdict, before: str | None, reports: Path) -> Verdict:
    """Keep what was found of a release, and make it live if it passed and nothing else went live meanwhile.

    Args:
        releases: Of its task.
        release: The new one.
        verdict: Of the gate.
        before: The version that was live when the gate began; None: none was.
        reports: Directory of reports.

    Returns:
        The verdict; not passed if another release went live meanwhile.
    """
    _keep(releases, release, verdict, reports)
    if verdict.passed and not releases.succeed(before, release.version, "retrain"):
        verdict = replace(verdict, passed=False, reason=f"another release went live meanwhile; {verdict.reason}")
        _keep(releases, release, verdict, reports)
    return verdict


def _keep(releases: ReleaseStore, release: Release, verdict: Verdict, reports: Path) -> None:
    reports.mkdir(exist_ok=True)
    report = reports / f"{release.version.replace('/', '-')}.json"
    replace_file(report, json.dumps(verdict.to_dict(), indent=2).encode())
    releases.note(release.version, "passed" if verdict.passed else "rejected", verdict.reason)

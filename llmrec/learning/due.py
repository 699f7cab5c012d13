"""Whether a retraining is due: the same events and settings would give the same release once more."""

from __future__ import annotations

from itertools import islice

from llmrec.errors import NothingNewError, ReleaseError
from llmrec.recommender import Recommender
from llmrec.releases import Release

__all__ = ["require_news"]

_JUDGED = ("passed", "rejected")


def require_news(rec: Recommender) -> None:
    """Refuse to retrain on what the last retraining of the same settings has learnt already.

    Raises:
        NothingNewError: Fewer than `[learning] least_events` events came since.
    """
    last, least = _last_judged(rec), rec.settings.learning.least_events
    if last is None or not _same_settings(rec, last):
        return
    events = rec.store.events_to_learn_from()
    fresh = (one for one in events if one.is_behaviour and (one.sequence or 0) > last.learnt_until)
    found = sum(1 for _ in islice(fresh, least))
    if found < least:
        raise NothingNewError(
            f"{found} new events came since {last.version} was made, and [learning] least_events asks for {least}",
            hint="`llmrec retrain --anew`",
        )


def _last_judged(rec: Recommender) -> Release | None:
    """The newest release that went through the gate, whatever became of it; None where it is gone.

    One that passed and never went live was killed in between: that run is to be done again.
    """
    deeds = rec.releases.log()
    judged = [deed for deed in deeds if deed.state in _JUDGED]
    went_live = {deed.release for deed in deeds if deed.state == "promoted"}
    if not judged or (judged[-1].state == "passed" and judged[-1].release not in went_live):
        return None
    try:
        return rec.releases.get(judged[-1].release)
    except ReleaseError:
        return None


def _same_settings(rec: Recommender, release: Release) -> bool:
    settings = release.manifest.get("settings", {})
    return bool(rec.settings.model_dump(mode="json", include=set(settings)) == settings)

"""What is killed in the test of kills: a process that learns, promotes, rolls back and takes feedback, as told.

Each acknowledged event is printed once it is durable.
"""

import sys
from itertools import count
from pathlib import Path

from llmrec import Event, Recommender
from llmrec.errors import BusyError, ReleaseError
from llmrec.testing import OverlapLanguageModel, WordEncoder

workspace, name = sys.argv[1:]
with Recommender.open(Path(workspace), encoder=WordEncoder(), language_model=OverlapLanguageModel()) as rec:
    sys.stdout.write("open\n")
    for number in count():
        kept = rec.feedback(Event(f"user {number % 7}", "pan", "click", event_id=f"{name}-{number}"))
        sys.stdout.write(f"{kept.event_id}\n")
        sys.stdout.flush()
        turn = number % 6
        try:
            if turn == 0:
                rec.fit(progress=False)
            elif turn == 2:
                rec.releases.promote(rec.releases.list()[0].version)
            elif turn == 4:
                rec.releases.rollback()
        except (BusyError, ReleaseError):
            continue  # nothing to roll back to, or the lock of one that was killed a moment ago

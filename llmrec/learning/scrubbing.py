"""Personal data in what people write, taken out before it is learnt from: links, addresses and numbers of all kinds.

Presidio's recognizers find them, by patterns and check digits, without a model and without the network. Names and
streets follow no pattern and stay, as do numbers whose check digits are wrong, which is why free text is left out of
learning unless it is switched on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec

from llmrec.config import LearningSettings
from llmrec.errors import MissingExtraError

__all__ = ["Scrub", "scrub_by", "scrubber"]

Scrub = Callable[[str], str]

_REGIONS = "US CA GB IE AU DE AT CH FR BE NL ES PT IT PL SE TR BR MX IN JP CN RU".split()  # noqa: SIM905
"""Whose ways to write a telephone number without a country code are known. Of all regions some have numbers of four
digits, which years would be taken for."""
_LENIENCY = 1
"""phonenumbers' VALID: any grouping of a number that exists."""
_CERTAIN = 0.4
"""Presidio's score of a pattern that is seldom anything else."""
_LINK = r"(?:[a-z][a-z0-9+.-]*://|www\.)[^\s<>\"']+|\b[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}(?::\d+)?[/?#][^\s<>\"']+"
"""With all that follows the host; Presidio's pattern ends before a port or query, and takes `end.Begin` for a host."""


def scrub_by(settings: LearningSettings) -> Scrub | None:
    """What becomes of free text; None: it is left out.

    Raises:
        MissingExtraError: Presidio is not installed, and free text is wanted.
    """
    return scrubber() if settings.free_text else None


@lru_cache(maxsize=1)
def scrubber() -> Scrub:
    """What replaces personal data in a text by the name of its kind, such as <EMAIL_ADDRESS>.

    Raises:
        MissingExtraError: Presidio is not installed.
    """
    if not (find_spec("presidio_analyzer") and find_spec("presidio_anonymizer")):
        raise MissingExtraError("presidio-analyzer", extra="scrub", purpose="learning.free_text")
    from presidio_analyzer import Pattern, PatternRecognizer
    from presidio_analyzer import predefined_recognizers as known
    from presidio_anonymizer import AnonymizerEngine

    recognizers = [
        PatternRecognizer("URL", patterns=[Pattern("link", _LINK, 1.0)]),
        # Presidio's own recognizer of addresses looks the domain up in a list that it fetches from the network.
        PatternRecognizer("EMAIL_ADDRESS", patterns=known.EmailRecognizer.PATTERNS),
        known.IbanRecognizer(),
        known.CreditCardRecognizer(),
        known.IpRecognizer(),
        known.PhoneRecognizer(supported_regions=_REGIONS, leniency=_LENIENCY),
    ]
    engine = AnonymizerEngine()

    @lru_cache(maxsize=10_000)
    def scrub(text: str) -> str:
        found = [one for each in recognizers for one in each.analyze(text, each.supported_entities)]
        certain = [one for one in found if one.score >= _CERTAIN]
        return str(engine.anonymize(text, certain).text) if certain else text

    return scrub

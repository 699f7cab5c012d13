"""Personal data is taken out of what people write, in the ways that several countries write it; titles survive."""

import socket

import pytest

from llmrec.config import LearningSettings
from llmrec.errors import MissingExtraError
from llmrec.learning import scrubbing
from llmrec.learning.scrubbing import scrub_by, scrubber


@pytest.mark.parametrize(
    ("secret", "kind"),
    [
        ("ann.lee+films@example.co.uk", "EMAIL_ADDRESS"),
        ("ännchen@bücher.de", "EMAIL_ADDRESS"),
        ("+49 30 901820", "PHONE_NUMBER"),
        ("0171 1234567", "PHONE_NUMBER"),
        ("01 42 68 53 00", "PHONE_NUMBER"),
        ("(212) 736-5000", "PHONE_NUMBER"),
        ("020 7946 0958", "PHONE_NUMBER"),
        ("612 345 678", "PHONE_NUMBER"),
        ("06 6982 1234", "PHONE_NUMBER"),
        ("8 (495) 123-45-67", "PHONE_NUMBER"),
        ("+86 138 0013 8000", "PHONE_NUMBER"),
        ("4111 1111 1111 1111", "CREDIT_CARD"),
        ("5500-0000-0000-0004", "CREDIT_CARD"),
        ("378282246310005", "CREDIT_CARD"),
        ("DE89 3704 0044 0532 0130 00", "IBAN_CODE"),
        ("GB29NWBK60161331926819", "IBAN_CODE"),
        ("FR14 2004 1010 0505 0001 3M02 606", "IBAN_CODE"),
        ("192.168.178.21", "IP_ADDRESS"),
        ("2001:db8::8a2e:370:7334", "IP_ADDRESS"),
        ("https://shop.example/reset?token=abc123&u=7", "URL"),
        ("http://localhost:8000/x?token=abc123", "URL"),
        ("https://example.com?token=abc123", "URL"),
        ("www.example.org/~ann", "URL"),
        ("ftp://ann:secret@files.example/x", "URL"),
    ],
)
def test_what_tells_who_somebody_is_goes(secret: str, kind: str) -> None:
    assert scrubber()(f"too long, write to {secret} if it was Alien") == f"too long, write to <{kind}> if it was Alien"


def test_several_in_one_text_go() -> None:
    told = scrubber()("ann@example.com,bob@example.com or tel:+33142685300")
    assert told == "<EMAIL_ADDRESS>,<EMAIL_ADDRESS> or tel:<PHONE_NUMBER>"


@pytest.mark.parametrize(
    "text",
    [
        "2001: A Space Odyssey (1968)",
        "1984",
        "300",
        "1941, 1942 and 1917",
        "3000 Miles to Graceland 2001 2002",
        "Blade Runner 2049 1984 1917",
        "10 Things I Hate About You, 5 stars of 10",
        "3:10 to Yuma, seen 1998-03-01 at 12:30",
        "THX 1138, U-571 and Se7en for 12.99",
        "Mystery Science Theater 3000: The Movie",
        "Naked Gun 33 1/3: The Final Insult",
        "Face/Off by AC/DC, M.A.S.H. 4077, E.T.",
        "like Mr.Bean but good.It was the best",
        "<b>fine</b> :: 20,000 Leagues under the Sea",
    ],
)
def test_titles_years_and_prices_stay(text: str) -> None:
    assert scrubber()(text) == text


def test_the_network_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert scrubber.__wrapped__()("ann@example.net") == "<EMAIL_ADDRESS>"


def test_a_missing_presidio_is_said_only_where_free_text_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubbing, "find_spec", lambda _: None)
    scrubber.cache_clear()
    assert scrub_by(LearningSettings()) is None
    with pytest.raises(MissingExtraError, match=r"learning\.free_text needs the package presidio-analyzer") as missing:
        scrub_by(LearningSettings(free_text=True))
    assert "llmrec[scrub]" in missing.value.hint

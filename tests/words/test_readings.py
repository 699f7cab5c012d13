"""What the language model makes of comments counts as much as it helps, is read once, and is forgotten."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from llmrec.words.readings import Readings, calibrated, forget_readings


class Asked:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> list[float]:
        self.texts += texts
        return [float(len(text)) for text in texts]


def test_a_comment_is_read_once_by_any_process(tmp_path: Path) -> None:
    asked = Asked()
    readings = Readings(asked, tmp_path / "comments" / "m.json")
    assert readings.known("good") is None
    assert readings.read(["good", "bad", "good"]) == 2
    assert Readings(asked, tmp_path / "comments" / "m.json").read(["bad", "good"]) == 0
    assert asked.texts == ["good", "bad"]
    assert readings.known("good") == 4.0


def test_of_a_comment_nothing_but_a_digest_and_a_number_is_kept_and_neither_after_it_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    readings = Readings(Asked(), path)
    readings.read(["zanzibar is lovely", "fine"])
    assert "zanzibar" not in path.read_text()
    forget_readings(tmp_path, ["zanzibar is lovely"])
    readings.forget(["zanzibar is lovely"])
    assert list(json.loads(path.read_text()).values()) == [4.0]
    assert readings.known("zanzibar is lovely") is None
    assert readings.known("fine") == 4.0


def test_what_one_process_reads_or_deletes_holds_in_another(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    one, other = Readings(Asked(), path), Readings(Asked(), path)
    one.read(["fine", "zanzibar"])
    other.read(["good"])
    assert one.known("good") == 4.0
    assert other.known("zanzibar") == 8.0
    forget_readings(tmp_path, ["zanzibar"])
    one.read(["bad"])  # writes what it holds, in which the deleted words are no more
    assert sorted(json.loads(path.read_text()).values()) == [3.0, 4.0, 4.0]


def test_words_deleted_while_the_model_reads_them_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "m.json"

    def asked(texts: Sequence[str]) -> list[float]:
        readings.forget(["zanzibar"])
        return [1.0] * len(texts)

    readings = Readings(asked, path)
    readings.read(["zanzibar"])
    assert readings.known("zanzibar") is None
    assert not path.exists()


def test_where_nothing_can_be_written_a_comment_is_still_read_once(tmp_path: Path) -> None:
    (tmp_path / "comments").write_text("a file where the directory should be")
    asked = Asked()
    readings = Readings(asked, tmp_path / "comments" / "m.json")
    assert readings.read(["fine"]) == 1
    assert readings.read(["fine"]) == 0


def test_a_damaged_file_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_bytes(b"\x00[")
    assert Readings(Asked(), tmp_path / "m.json").read(["fine"]) == 1


@pytest.mark.parametrize(("helps", "least", "most"), [(True, 0.2, 1.0), (False, 0.0, 0.0)])
def test_the_model_weighs_what_it_adds_and_nothing_where_it_does_not_help(
    helps: bool, least: float, most: float
) -> None:
    generator = np.random.default_rng(1)
    targets = np.tile([1.0, -1.0], 50)
    foretold = 0.3 * targets + generator.normal(0, 0.3, 100)
    log_odds = 5 + 3 * targets * helps * 1.0 + generator.normal(0, 1, 100)
    if not helps:
        log_odds = 5 - 3 * targets  # the wrong way round
    fitted = calibrated(targets, foretold, log_odds)
    assert least <= fitted.weight <= most
    assert fitted.added(fitted.mean) == 0.0

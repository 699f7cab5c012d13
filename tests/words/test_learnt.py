"""What was learnt from sentences is learnt once."""

from pathlib import Path

import numpy as np
import pytest

from llmrec.words.learnt import learnt_before

TOLD = tuple(str(number) for number in range(2_000))


class Learner:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        self.times += 1
        return np.eye(2), np.array([[0.1], [0.2]])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    return tmp_path / "sentences"


def test_what_was_learnt_from_the_same_is_not_learnt_again() -> None:
    learn = Learner()
    first, again = learnt_before(TOLD, learn), learnt_before(TOLD, learn)
    assert learn.times == 1
    assert all((one == two).all() for one, two in zip(first, again, strict=True))
    learnt_before((*TOLD, "another"), learn)
    assert learn.times == 2


def test_a_broken_file_is_learnt_anew(cache: Path) -> None:
    learn = Learner()
    learnt_before(TOLD, learn)
    (file,) = cache.iterdir()
    file.write_bytes(b"no archive")
    learnt_before(TOLD, learn)
    learnt_before(TOLD, learn)
    assert learn.times == 2


def test_a_cache_that_cannot_be_written_stops_nothing(cache: Path) -> None:
    cache.write_text("no directory")
    assert learnt_before(TOLD, Learner())[1].tolist() == [[0.1], [0.2]]


def test_few_sentences_are_not_kept(cache: Path) -> None:
    learnt_before(TOLD[:10], Learner())
    assert not cache.exists()


def test_of_what_was_learnt_the_newest_few_are_kept(cache: Path) -> None:
    for number in range(8):
        learnt_before((*TOLD, number), Learner())
    assert len(list(cache.iterdir())) == 4

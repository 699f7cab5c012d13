"""What the page draws of a training is what the release says of it."""

from pathlib import Path

from llmrec.releases import Release
from llmrec.service.web.running import _curve


def _made(adapter: dict[str, object]) -> Release:
    return Release("rank/0001", Path(), {"metrics": {"adapter": adapter}, "files": {}})


def test_a_curve_is_drawn_at_the_lists_that_had_been_learnt_from() -> None:
    found = _curve(_made({"lists": 90, "gains": [-0.1, 0.2, 0.1], "at": [0, 40, 90]}))
    assert found == [{"lists": 0, "gain": -0.1}, {"lists": 40, "gain": 0.2}, {"lists": 90, "gain": 0.1}]


def test_an_older_release_noted_only_how_many_there_were() -> None:
    assert _curve(_made({"lists": 90, "gains": [0.2, 0.1]})) == [
        {"lists": 45, "gain": 0.2},
        {"lists": 90, "gain": 0.1},
    ]
    assert _curve(_made({})) == []

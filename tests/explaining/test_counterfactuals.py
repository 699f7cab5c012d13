"""A counterfactual is the score that a request without the event really gets, for the shortest histories too."""

from pathlib import Path

import pytest

from llmrec import Event
from tests.conftest import open_shop
from tests.ranking.test_ranker import WholePromptModel


@pytest.mark.parametrize("taken", [["rake"], ["rake", "pan"], ["rake", "pan", "hose", "pot", "knife", "board"]])
def test_each_event_is_worth_what_the_score_falls_by_without_it(tmp_path: Path, taken: list[str]) -> None:
    """Through the public API only, with a model whose score depends on every word of the prompt."""
    with open_shop(tmp_path / "shop", language_model=WholePromptModel()) as shop:
        shop.fit()
        for item_id in taken:
            shop.feedback(Event("eva", item_id, "purchase"))
        explained = shop.explain("eva", "spade")
        (whole,) = shop.rank(taken_events(taken), ["spade"], user_id="eva")
        worth = {one.item_id: one.strength for one in explained.evidence if one.kind == "event"}
        for item_id in taken:
            others = [event for event in taken_events(taken) if event.item_id != item_id]
            (without,) = shop.rank(others, ["spade"], user_id="eva")
            assert whole.parts["llm"] != without.parts["llm"]
            assert worth[item_id] == pytest.approx(whole.score - without.score, abs=1e-4)


def taken_events(item_ids: list[str]) -> list[Event]:
    return [Event("eva", item_id, "purchase") for item_id in item_ids]

"""What the model is asked: within the budget, oldest events cut first, the question never."""

import numpy as np

from llmrec import Event, History, Item, User
from llmrec.ranking import PromptLibrary, Ranker
from llmrec.testing import OverlapLanguageModel

ITEMS = {item_id: Item(item_id, title) for item_id, title in {"a": "red apple", "b": "blue boat", "c": "corn"}.items()}


class Spy(OverlapLanguageModel):
    """Also keeps what it was asked, as words."""

    def __init__(self) -> None:
        super().__init__()
        self.words: dict[int, str] = {}
        self.prompts: list[str] = []

    def tokenize(self, segment):  # type: ignore[no-untyped-def]
        ids = super().tokenize(segment)
        from llmrec.testing import _words

        self.words |= dict(zip(ids, _words(segment.text), strict=True))
        return ids

    def score(self, prefix, suffixes):  # type: ignore[no-untyped-def]
        self.prompts += [" ".join(self.words[i] for i in [*prefix, *suffix]) for suffix in suffixes]
        return super().score(prefix, suffixes)


def history(*item_ids: str) -> History:
    return History(events=tuple(Event("u", item_id) for item_id in item_ids))


def ranker(model: OverlapLanguageModel, **limits: int) -> Ranker:
    return Ranker(model, PromptLibrary(), **limits)


def test_each_candidate_is_asked_about_after_the_whole_history() -> None:
    model = Spy()
    asked = ranker(model)
    known = History(User("u", {"place": "Oslo"}), history("a", "b").events)
    asked.score(asked.shared(known, ITEMS, {"season": "winter"}), [ITEMS["c"], ITEMS["a"]])
    assert len(model.prompts) == 2
    for prompt, last in zip(model.prompts, ("corn", "red apple"), strict=True):
        place, season, first, second = (prompt.index(w) for w in ("oslo", "winter", "red apple", "blue boat"))
        assert place < season < first < second < prompt.index("answer yes or no")
        assert prompt.endswith(f"offer : {last} answer :")


def test_trimming_takes_the_oldest_first_and_never_the_question() -> None:
    model = Spy()
    asked = ranker(model, history_tokens=45)
    shared = asked.shared(history(*"abcab"), ITEMS)
    assert 0 < len(shared.lines) < 5
    assert [event.item_id for event in shared.events] == list("abcab")[-len(shared.lines) :]
    assert len(shared.ids) <= 45
    asked.score(shared, [ITEMS["c"]])
    assert "answer yes or no" in model.prompts[0]


def test_with_no_room_at_all_the_question_is_still_asked() -> None:
    model = Spy()
    asked = ranker(model, history_tokens=5)
    shared = asked.shared(history("a"), ITEMS)
    assert shared.lines == ()
    asked.score(shared, [ITEMS["c"]])
    assert "answer yes or no" in model.prompts[0]


def test_long_foreign_text_is_capped_and_counted() -> None:
    asked = ranker(OverlapLanguageModel(), text_tokens=8)
    long = Item("l", "word " * 20_000)
    shared = asked.shared(History(events=(Event("u", "l"),)), {"l": long})
    _, capped = asked.score(shared, [long, ITEMS["a"]])
    assert (shared.capped, capped) == (1, 1)
    assert len(shared.lines[0]) < 20


def test_branches_are_the_prompts_without_one_event() -> None:
    model = OverlapLanguageModel()
    asked = ranker(model)
    known = history(*"abcabcabcabc")
    branches = asked.score_without_each(asked.shared(known, ITEMS), ITEMS["a"])
    separate = [asked.score(asked.shared(known.without(event), ITEMS), [ITEMS["a"]])[0][0] for event in known.events]
    assert len(branches) == 12
    np.testing.assert_allclose(branches, separate, atol=0.5)


def test_without_any_event_there_is_no_branch() -> None:
    asked = ranker(OverlapLanguageModel())
    assert asked.score_without_each(asked.shared(History(), ITEMS), ITEMS["a"]).shape == (0,)

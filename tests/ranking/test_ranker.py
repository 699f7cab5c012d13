"""What the model is asked: within the budget, oldest events cut first, the question never."""

import itertools
from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import pytest

from llmrec import Event, History, Item, User
from llmrec.ranking import PromptLibrary, Ranker
from llmrec.records import Behaviour, Candidate
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


class WholePromptModel(OverlapLanguageModel):
    """Its score is a hash of the whole prompt, so that another token anywhere is another score."""

    def score(self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]]) -> np.ndarray:
        digests = [sha256(repr([*prefix, *suffix]).encode()).digest() for suffix in suffixes]
        return np.array([int.from_bytes(digest[:2], "big") / 2**14 - 2 for digest in digests], np.float32)


def history(*item_ids: str) -> History:
    return History(events=tuple(Event("u", item_id) for item_id in item_ids))


def proposed(*items: Item) -> list[Candidate]:
    return [Candidate(item, 0.0) for item in items]


def ranker(model: OverlapLanguageModel, **limits: int) -> Ranker:
    return Ranker(model, PromptLibrary(), **limits)


def test_each_candidate_is_asked_about_after_the_whole_history() -> None:
    model = Spy()
    asked = ranker(model)
    known = History(User("u", {"place": "Oslo"}), history("a", "b").events)
    asked.score(asked.shared(known, ITEMS, {"season": "winter"}), proposed(ITEMS["c"], ITEMS["a"]))
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
    asked.score(shared, proposed(ITEMS["c"]))
    assert "answer yes or no" in model.prompts[0]


def test_a_long_history_keeps_its_beginning_while_events_are_added() -> None:
    asked = ranker(OverlapLanguageModel(), history_tokens=230)
    prompts = [asked.shared(history(*("ab" * 40)[:length]), ITEMS) for length in range(60, 80)]
    assert all(20 <= len(prompt.lines) < 60 and len(prompt.ids) <= 230 for prompt in prompts)
    goes_on = [new.lines[: len(old.lines)] == old.lines for old, new in itertools.pairwise(prompts)]
    assert goes_on.count(False) == 4  # of 19 additions
    all_that_fits = asked.shared(history(*"ababababababababababababa"), ITEMS)
    assert len(all_that_fits.lines) == 25


def test_with_no_room_at_all_the_question_is_still_asked() -> None:
    model = Spy()
    asked = ranker(model, history_tokens=5)
    shared = asked.shared(history("a"), ITEMS)
    assert shared.lines == ()
    asked.score(shared, proposed(ITEMS["c"]))
    assert "answer yes or no" in model.prompts[0]


def test_long_foreign_text_is_capped_and_counted() -> None:
    asked = ranker(OverlapLanguageModel(), text_tokens=8)
    long = Item("l", "word " * 20_000)
    shared = asked.shared(History(events=(Event("u", "l"),)), {"l": long})
    _, capped = asked.score(shared, proposed(long, ITEMS["a"]))
    assert (shared.capped, capped) == (1, 1)
    assert len(shared.lines[0]) < 20


def test_one_long_attribute_hides_no_other_and_is_capped_alone() -> None:
    model = Spy()
    asked = ranker(model, text_tokens=8)
    tool = Item("t", "rake", "for leaves " * 9, {"parts": "screw " * 99, "room": "garden"})
    known = History(User("u", {"notes": "busy " * 99, "place": "Oslo"}))
    shared = asked.shared(known, ITEMS, {"weather": "wet " * 99, "season": "autumn"})
    _, capped = asked.score(shared, proposed(tool))
    (prompt,) = model.prompts
    assert (shared.capped, capped) == (2, 2)
    assert "offer : rake ( parts : screw screw screw screw screw screw ; room : garden ) description : for" in prompt
    assert prompt.endswith(" description : for leaves for leaves for leaves for leaves answer :")
    assert "busy ; place : oslo the situation : weather : wet" in prompt
    assert "wet ; season : autumn what the customer did" in prompt


def test_a_candidate_stays_short_however_many_attributes_it_has() -> None:
    asked = ranker(Spy())
    eight, many = ({f"column{place}": "x" for place in range(count)} for count in (8, 100))
    few, long = proposed(Item("a", "rake", attributes=eight), Item("a", "rake", attributes=many))
    assert asked.candidate(few)[1] == 0
    assert asked.candidate(long) == (asked.candidate(few)[0], 1)


@pytest.mark.parametrize("taken", ["abcabcabcabc", "ab", "a"])
def test_branches_are_the_prompts_without_one_event(taken: str) -> None:
    asked = ranker(WholePromptModel())
    known = history(*taken)
    branches = asked.score_without_each(asked.shared(known, ITEMS), Candidate(ITEMS["a"], 0.0))
    separate = [
        asked.score(asked.shared(known.without(event), ITEMS), proposed(ITEMS["a"]))[0][0] for event in known.events
    ]
    assert branches.tolist() == separate
    assert len(set(separate)) == len(taken)
    assert asked.score(asked.shared(known, ITEMS), proposed(ITEMS["a"]))[0][0] not in separate


def test_branches_of_a_trimmed_history_move_no_older_event_into_the_gap() -> None:
    asked = ranker(WholePromptModel(), history_tokens=45)
    shared = asked.shared(history(*"abcab"), ITEMS)
    assert 1 < len(shared.lines) < 5
    branches = asked.score_without_each(shared, Candidate(ITEMS["c"], 0.0))
    left = [shared.events[:gone] + shared.events[gone + 1 :] for gone in range(len(shared.lines))]
    separate = [asked.score(asked.shared(History(events=events), ITEMS), proposed(ITEMS["c"]))[0][0] for events in left]
    assert branches.tolist() == separate


def test_the_only_event_matters_even_where_its_line_does_not_fit() -> None:
    asked = ranker(WholePromptModel(), history_tokens=5)
    known = history("a")
    branches = asked.score_without_each(asked.shared(known, ITEMS), Candidate(ITEMS["c"], 0.0))
    assert branches.tolist() == asked.score(asked.shared(History(), ITEMS), proposed(ITEMS["c"]))[0].tolist()


def test_without_any_event_there_is_no_branch() -> None:
    asked = ranker(OverlapLanguageModel())
    assert asked.score_without_each(asked.shared(History(), ITEMS), Candidate(ITEMS["a"], 0.0)).shape == (0,)


def test_a_candidate_tells_what_it_follows_and_how_common_it_is() -> None:
    model = Spy()
    asked = ranker(model)
    shared = asked.shared(history("a", "b"), ITEMS)
    told = Behaviour(((ITEMS["a"], 0.05), (ITEMS["b"], 0.004)), above=0.97)
    asked.score(shared, [Candidate(ITEMS["c"], 0.0, told), Candidate(ITEMS["c"], 0.0, Behaviour((), 0.1))])
    follows, rare = model.prompts
    assert follows.endswith(
        "offer : corn very popular ; often taken after red apple ; sometimes taken after blue boat answer :"
    )
    assert rare.endswith("offer : corn little known answer :")


def test_without_an_event_no_candidate_says_that_it_follows_it() -> None:
    asked = ranker(WholePromptModel())
    known = history("a", "b", "b")
    told = Behaviour(((ITEMS["a"], 0.05), (ITEMS["b"], 0.05)), above=0.5)
    branches = asked.score_without_each(asked.shared(known, ITEMS), Candidate(ITEMS["c"], 0.0, told))
    left = [told.without("a"), told, told]  # of two events on one item the other is still there
    separate = [
        asked.score(asked.shared(known.without(event), ITEMS), [Candidate(ITEMS["c"], 0.0, one)])[0][0]
        for event, one in zip(known.events, left, strict=True)
    ]
    assert branches.tolist() == separate

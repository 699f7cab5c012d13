"""Replays of a small log in which taste changes: what learns sees it, what is frozen does not."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from llmrec import Event, Item, Recommender
from llmrec.config import RankingSettings, Settings
from llmrec.errors import ConfigError, DataError
from llmrec.learning import ReplayOptions, policies, policies_of, replay, replay_page, replay_table, training
from llmrec.learning import replaying as module
from llmrec.models import LanguageModel
from llmrec.models.adapters import WEIGHTS
from llmrec.models.lora import LoraLearner
from llmrec.testing import OverlapLanguageModel, WordEncoder
from tests.learning.test_retraining import add_courses, settings, taken

ITEMS = 30
OPTIONS = ReplayOptions(blocks=3, requests=40, warm_up=0.4, seed=3)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Recommender]:
    """Sixty users, each with five events in a row; from the middle on everybody takes the last five items."""
    settings = {"ranking": {"enabled": False}, "encoder": {"network": "none"}, "retrieval": {"candidates": 30}}
    parts = {"encoder": WordEncoder(), "language_model": OverlapLanguageModel()}
    generator = np.random.default_rng(0)
    with Recommender.create(tmp_path / "log", settings, **parts) as rec:
        rec.add_items(Item(f"i{number}", f"Thing {number}") for number in range(ITEMS))
        start = datetime(2024, 1, 1, tzinfo=UTC)
        events = []
        for user in range(60):
            among = range(5) if user < 36 else range(ITEMS - 6, ITEMS)
            for place, item in enumerate(generator.permutation(among)[:5]):
                when = start + timedelta(minutes=10 * user + place)
                events.append(Event(f"u{user}", f"i{item}", timestamp=when, event_id=f"{user}-{place}"))
        rec.add_events(events)
        yield rec


def test_what_learns_follows_a_change_of_taste(
    log: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = replay(log, tmp_path / "replay", OPTIONS)
    assert list(played.blocks) == ["still", "frozen", "anew", "evolving"]
    assert played.values("frozen", "ndcg")[:40].tolist() == played.values("evolving", "ndcg")[:40].tolist()
    for policy in ("anew", "evolving"):
        found = played.over(policy)
        assert found is not None
        assert found.low is not None
        assert found.low > 0, policy
    told = json.loads(json.dumps(played.to_dict()))
    assert told["paired"]["evolving-frozen"]["ndcg"]["difference"] > 0
    assert len(set(told["policies"]["evolving"]["releases"])) == 3
    assert len(set(told["policies"]["frozen"]["releases"])) == 1
    # What a user does acts at once, without any training.
    online = played.over("frozen", "still")
    assert online is not None
    assert online.low is not None
    assert online.low > 0
    # Nobody who is forgotten lives on in a copy.
    assert not list(tmp_path.glob("replay/**/llmrec.db"))
    columns, rows = replay_table(played)
    assert len(columns) == len(rows[0]) == 5
    page = replay_page(played)
    assert page.count("<img") == 2
    assert "http" not in page.replace("http-equiv", "")


def test_an_interrupted_replay_goes_on_and_gives_the_same(
    log: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ReplayOptions(blocks=3, requests=20, warm_up=0.4, policies=("frozen", "evolving"))
    whole = replay(log, tmp_path / "whole", options)
    answer, calls = module._Stage._answer, []

    def interrupted(self, own, policy, block):  # type: ignore[no-untyped-def]
        calls.append((own.workspace.root.parent.name, block))
        if len(calls) == 5:
            raise KeyboardInterrupt
        return answer(self, own, policy, block)

    monkeypatch.setattr(module._Stage, "_answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replay(log, tmp_path / "parts", options)
    again = replay(log, tmp_path / "parts", options)
    frozen, evolving = [("frozen", block) for block in range(3)], [("evolving", block) for block in range(3)]
    assert calls == [*frozen, *evolving[:2], *evolving[1:]]
    assert again.to_dict() == whole.to_dict()


def test_no_request_knows_what_comes_later(log: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    histories, stored = [], []
    made, learn = module._Stage._history, module._Stage._learn

    def seen(self, own, policy, user_id, events):  # type: ignore[no-untyped-def]
        histories.append((user_id, len(events)))
        return made(self, own, policy, user_id, events)

    def kept(self, own, policy, block):  # type: ignore[no-untyped-def]
        learn(self, own, policy, block)
        stored.append((own.store.counts()["events"], self._ends[block]))

    monkeypatch.setattr(module._Stage, "_history", seen)
    monkeypatch.setattr(module._Stage, "_learn", kept)
    replay(log, tmp_path / "replay", ReplayOptions(blocks=2, requests=1000, warm_up=0.4, policies=("evolving",)))
    # Each user's five events are foretold one after the other, each from those before.
    assert histories == [(f"u{user}", place) for user in range(24, 60) for place in range(5)]
    assert all(count == end for count, end in stored)


def test_a_block_in_which_nobody_takes_what_is_new_has_no_value(log: Recommender, tmp_path: Path) -> None:
    start = datetime(2024, 2, 1, tzinfo=UTC)
    log.add_events(Event("u1", "i1", timestamp=start + timedelta(minutes=place)) for place in range(200))
    played = replay(log, tmp_path, ReplayOptions(blocks=2, requests=5, warm_up=0.6, policies=("frozen", "evolving")))
    assert played.to_dict()["policies"]["evolving"]["ndcg"][1]["value"] is None
    assert played.over("evolving") is None
    assert replay_table(played)[1][0][2] == "-"


def test_what_cannot_be_played_is_refused(log: Recommender, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few"):
        replay(log, tmp_path, ReplayOptions(blocks=50))
    with pytest.raises(ConfigError, match="policy 'lazy'"):
        policies_of(["frozen", "lazy"])
    titled = Settings(ranking=RankingSettings(ask="title"))
    assert policies.settings_of("adapter-evolving", titled, llm=True).learning.start == "champion"
    with pytest.raises(ConfigError, match="pull"):
        policies.settings_of("adapter-pulled", titled, llm=True)
    for wrong in ({"blocks": 0}, {"requests": -3}, {"warm_up": 1.0}):
        with pytest.raises(ConfigError, match="nothing to play"):
            replay(log, tmp_path, ReplayOptions(**wrong))  # type: ignore[arg-type]
    log.add_events([Event("u2", "i1")])
    with pytest.raises(DataError, match="no time"):
        replay(log, tmp_path)


ADAPTERS = ReplayOptions(
    blocks=3, requests=10, warm_up=0.7, policies=("frozen", "anew", *policies.ADAPTED), seed=3, llm=True
)


@pytest.fixture
def steps(tmp_path: Path, tiny_base: Path) -> Iterator[Recommender]:
    """Users who take one step after the other, and a language model of three layers."""
    wanted = settings(tiny_base)
    wanted["learning"] |= {"epochs": 1, "pull": 2.0}
    wanted["encoder"] |= {"epochs": 1}
    start = datetime(2024, 1, 1, tzinfo=UTC)
    with Recommender.create(tmp_path / "steps", wanted, encoder=WordEncoder()) as rec:
        add_courses(rec)
        in_turn = [event for of_all in zip(*taken(), strict=True) for event in of_all]
        rec.add_events(
            replace(event, timestamp=start + timedelta(minutes=minute)) for minute, event in enumerate(in_turn)
        )
        yield rec


def _knows(run: training._Run) -> bool:
    """Whether it begins with an adapter: the product of a new one is nothing."""
    return any(bool(weight.any()) for name, weight in run.beginning.items() if "lora_B" in name)


@pytest.mark.timeout(900)
def test_adapters_are_trained_between_blocks_from_where_their_policy_says(
    steps: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[str, float, bool]] = []
    begun: list[bytes] = []
    begin, go = LoraLearner.begin_with, training._Run.go

    def watched(learner: LoraLearner, directory: Path) -> None:
        begun.append((directory / WEIGHTS).read_bytes())
        begin(learner, directory)

    def gone(run: training._Run, *, progress: bool) -> None:
        assert run.checkpoint is not None
        home = run.checkpoint.parents[2].name
        trained.append((home.rpartition("-")[0], run.options.pull, _knows(run)))
        go(run, progress=progress)

    monkeypatch.setattr(LoraLearner, "begin_with", watched)
    monkeypatch.setattr(training._Run, "go", gone)
    played = replay(steps, tmp_path / "replay", ADAPTERS)
    assert list(played.blocks) == list(ADAPTERS.policies)
    first = {policy: found[0].ndcg for policy, found in played.blocks.items()}
    assert len({tuple(one) for one in first.values()}) == 1
    releases = played.to_dict()["policies"]["adapter-pulled"]["releases"]
    assert len(set(releases)) == 3
    assert [one for one in trained if one[0] == "adapter-anew"] == [("adapter-anew", 0.0, False)] * 2
    assert [one[:2] for one in trained if one[0] == "adapter-evolving"] == [("adapter-evolving", 0.0)] * 2
    assert [one[:2] for one in trained if one[0] == "adapter-pulled"] == [("adapter-pulled", 2.0)] * 2
    assert len(begun) == sum(one[2] for one in trained) > 0
    assert {"adapter-anew-frozen", "adapter-anew-anew", "adapter-pulled-anew"} <= set(played.to_dict()["paired"])
    assert [row[0] for row in replay_table(played)[1]] == list(ADAPTERS.policies)
    # Played again, nothing is trained; trained otherwise, it is another replay, and what trains nothing is kept.
    before = len(trained)
    assert replay(steps, tmp_path / "replay", ADAPTERS).to_dict() == played.to_dict()
    assert len(trained) == before
    assert policies.home_of("adapter-anew", steps.settings) != policies.home_of("adapter-anew", Settings())
    assert policies.home_of("anew", steps.settings) == policies.home_of("anew", Settings())


def test_what_trains_the_language_model_needs_it(log: Recommender, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="adapter-anew trains the language model") as refused:
        replay(log, tmp_path, ReplayOptions(policies=("frozen", "adapter-anew")))
    assert "--llm" in refused.value.hint


def test_workspaces_that_share_a_model_do_not_share_their_adapters(log: Recommender, tmp_path: Path) -> None:
    names: list[str] = []
    removed: list[str] = []

    class Named(OverlapLanguageModel):
        def adapted(self, name: str, directory: Path) -> LanguageModel:
            names.append(name)
            return Named()

        def remove_adapter(self, name: str) -> None:
            removed.append(name)

    settings = log.settings.model_copy(update={"ranking": log.settings.ranking.model_copy(update={"enabled": True})})
    model = Named()
    with (
        Recommender.create(tmp_path / "own", settings, encoder=WordEncoder(), language_model=model) as own,
        own.beside(tmp_path / "other", settings, create=True) as other,
    ):
        for rec in (own, other, own):
            made = rec.releases.create({"adapter/weights": b""}, {"base_model": model.sha256})
            rec._parts.adapted(made)
    assert len(set(names)) == 3
    assert removed == [names[1]]  # the guest's, once it is closed; the other one's go with the model

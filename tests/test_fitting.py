"""A fit with enough behaviour trains a sequence encoder; requests, new items and the next fit build on it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llmrec import Event, History, Item, Recommender, serving
from llmrec.errors import ConfigError, ReleaseError
from llmrec.fitting import Fit, FittedRetriever, TrainedRanker
from llmrec.ranking import Fusion, HeldOutRequest
from llmrec.retrieval import Retriever, training
from llmrec.retrieval.training import validation_users
from llmrec.serving import evidence_of
from llmrec.testing import OverlapLanguageModel, WordEncoder

STEPS = 10
SETTINGS = {
    "encoder": {
        "minimum_events": 100, "dimension": 16, "layers": 1, "heads": 2, "dropout": 0.0, "batch_size": 4,
        "learning_rate": 3e-3, "epochs": 12, "max_events": 8,
    },
    "fit": {"calibration_users": 4},
}  # fmt: skip
PARTS = {"encoder": WordEncoder(), "language_model": OverlapLanguageModel()}


@pytest.fixture
def courses(tmp_path: Path) -> Iterator[Recommender]:
    """Courses in steps: whoever took step i takes step i + 1 next, which no title tells."""
    with Recommender.create(tmp_path / "courses", SETTINGS, **PARTS) as rec:
        names = ["Amber", "Birch", "Coral", "Delta", "Ember", "Fjord", "Grove", "Heath", "Islet", "Jetty"]
        rec.add_items([Item(f"s{step}", name, attributes={"level": step // 4}) for step, name in enumerate(names)])
        starts = np.random.default_rng(0).integers(STEPS, size=40)
        rec.add_events(
            [Event(f"u{user}", f"s{(start + step) % STEPS}") for user, start in enumerate(starts) for step in range(5)]
        )
        yield rec


def test_the_encoder_learns_what_follows_and_a_new_event_moves_the_next_answer(courses: Recommender) -> None:
    release = courses.fit()
    assert {"encoder.json", "encoder.safetensors"} <= set(release.manifest["files"])
    assert release.manifest["metrics"]["validation_ndcg@10"] > 0.7
    user = next(user.user_id for user in courses.users())
    for _ in range(2):
        last = int(str(courses.history(user).events[-1].item_id)[1:])
        answer = courses.recommend(user, llm=False)
        wanted = f"s{(last + 1) % STEPS}"
        assert wanted in [one.item.item_id for one in answer.items][:2]
        assert answer.trace.path == "history"
        courses.feedback(Event(user, wanted))


def test_what_follows_what_orders_the_candidates_of_a_weak_encoder(tmp_path: Path) -> None:
    settings = SETTINGS | {"encoder": {**SETTINGS["encoder"], "epochs": 1}}
    with Recommender.create(tmp_path / "courses", settings, **PARTS) as rec:
        rec.add_items([Item(f"s{step}", f"Step {step}") for step in range(STEPS)])
        starts = np.random.default_rng(0).integers(STEPS, size=60)
        rec.add_events(
            [Event(f"u{user}", f"s{(start + step) % STEPS}") for user, start in enumerate(starts) for step in range(5)]
        )
        assert {"evidence.json", "evidence.safetensors"} <= set(rec.fit().manifest["files"])
        live, catalogue = rec._serving.live(), rec.catalogue()
        with_it = rec._serving.retriever(live, catalogue, {})
        without = with_it.with_evidence(None)
        histories = [rec.history(f"u{user}") for user in range(60)]
        wanted = [f"s{(start + 5) % STEPS}" for start in starts]

        def right(retriever: Retriever) -> float:
            best = [retriever.retrieve(one, 10, excluded=one.seen).candidates[0].item.item_id for one in histories]
            return float(np.mean([one == right for one, right in zip(best, wanted, strict=True)]))

        assert right(with_it) > 0.9 > right(without)
        listed = with_it.retrieve(histories[0], 10).candidates
        again = with_it.score(histories[0], [one.item.item_id for one in listed]).candidates
        assert [one.score for one in again] == pytest.approx([one.score for one in listed], abs=1e-4)
        assert [one.score for one in listed] == sorted((one.score for one in listed), reverse=True)
        causes = rec.explain("u0", wanted[0]).evidence
        newest = histories[0].events[-1].item_id
        assert causes[0].item_id == newest  # what it follows carries it


def test_texts_propose_for_a_share_of_the_candidates(tmp_path: Path) -> None:
    """A game and its sequels: nobody took the last one, and its title says what it is near to."""
    settings = SETTINGS | {"retrieval": {"text_share": 0.2, "newcomers": 0.0}}
    with Recommender.create(tmp_path / "courses", settings, **PARTS) as rec:
        rec.add_items([Item(f"s{step}", f"Step{step} saga{step}") for step in range(STEPS)])
        rec.add_items([Item(f"n{step}", f"Step{step} saga{step} again") for step in range(STEPS)])
        starts = np.random.default_rng(0).integers(STEPS, size=60)
        rec.add_events(
            [Event(f"u{user}", f"s{(start + step) % STEPS}") for user, start in enumerate(starts) for step in range(5)]
        )
        release = rec.fit()
        assert release.part("evidence.json")["text_share"] == 0.2
        live, catalogue = rec._serving.live(), rec.catalogue()
        retriever = rec._serving.retriever(live, catalogue, {})
        history = rec.history("u0")
        newest = str(history.events[-1].item_id)
        found = retriever.retrieve(history, 10, excluded=history.seen).candidates
        listed = [one.item.item_id for one in found]
        encoder = [
            item_id
            for item_id, _ in retriever.space.index.search(_vector(retriever, history), 8, excluded=history.seen)
        ]
        assert len(set(listed)) == 10
        assert set(encoder) < set(listed)
        assert newest.replace("s", "n") in listed
        assert not history.seen & set(listed)
        again = retriever.score(history, listed).candidates
        assert [one.score for one in again] == pytest.approx([one.score for one in found], abs=1e-4)
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        few = retriever.retrieve(history, 10, among=["s1", "n2", "n3"], excluded={"n3"}).candidates
        assert {one.item.item_id for one in few} == {"s1", "n2"}
        bare = retriever.with_evidence(None).retrieve(history, 10, excluded=history.seen).candidates
        assert {one.item.item_id for one in bare} == set(listed)


def _vector(retriever: Retriever, history: History) -> np.ndarray:
    query = retriever.space.query(history)
    assert query is not None
    return query.vector


def test_a_release_without_evidence_orders_by_the_encoder_alone(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    courses.fit()
    live, catalogue, history = courses._serving.live(), courses.catalogue(), courses.history("u1")
    alone = courses._serving.retriever(live, catalogue, {}).with_evidence(None).retrieve(history, 10).candidates
    files = courses.releases.champion().manifest["files"]  # type: ignore[union-attr]
    assert evidence_of(courses.releases.champion()) is not None  # type: ignore[arg-type]
    monkeypatch.setattr(serving, "evidence_of", lambda _: None)
    with Recommender.open(courses.workspace.root, **PARTS) as rec:
        found = rec.recommend("u1", llm=False, filter_seen=False).items
    assert [one.item.item_id for one in found] == [one.item.item_id for one in alone]
    assert {"evidence.json", "evidence.safetensors"} <= set(files)


def test_answers_of_the_held_out_are_in_no_count_that_weighs(courses: Recommender) -> None:
    """Their newest events contradict all others: were they counted, what follows would look certain."""
    held = validation_users([5] * 40, [f"u{user}" for user in range(40)])
    for user in held:
        last = int(str(courses.history(f"u{user}").events[-1].item_id)[1:])
        courses.add_events([Event(f"u{user}", f"s{(last + 5) % STEPS}")])
    courses.fit()
    evidence = courses._serving.live().evidence
    assert evidence is not None
    assert max(evidence.weights[1:3]) < 0.1
    # In what is served they count: the step after a leap of five is met.
    leap = evidence.preceded[evidence.rows["s5"], evidence.rows["s0"]]
    assert leap > 0


def test_events_are_read_oldest_first(courses: Recommender) -> None:
    courses.fit()
    live, catalogue = courses._serving.live(), courses.catalogue()
    assert live.evidence is not None
    history = History(events=(Event("x", "s7"), Event("x", "s2")))
    found = courses._serving.retriever(live, catalogue, {}).features(history, ["s3", "s8"], live.evidence)
    assert found is not None
    assert found[0, 0] > found[1, 0] + 0.5  # s3 follows the newest, s8 the one before


def test_the_opinions_are_weighed_on_the_scores_that_are_served(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[HeldOutRequest] = []
    real = Fit._fusion

    def seen(fit: Fit, fitted: FittedRetriever, trained: TrainedRanker) -> Fusion:
        given.extend(fitted.requests)
        return real(fit, fitted, trained)

    monkeypatch.setattr(Fit, "_fusion", seen)
    courses.fit()
    live = courses._serving.live()
    retriever = courses._serving.retriever(live, courses.catalogue(), {})
    request = given[0]
    ids = [one.item.item_id for one in request.candidates]
    served, alone = (
        np.array([one.score for one in some.score(request.before, ids).candidates])
        for some in (retriever, retriever.with_evidence(None))
    )
    weighed = np.array([one.score for one in request.candidates])
    assert np.abs(weighed - served).mean() < np.abs(weighed - alone).mean()
    assert weighed.tolist() == sorted(weighed, reverse=True)


def test_a_new_item_is_retrievable_without_a_fit(courses: Recommender) -> None:
    courses.fit()
    courses.add_items([Item("new", "Amber Birch Coral")])
    assert "new" in [one.item.item_id for one in courses.recommend("u1", n=20).items]


def test_a_reopened_recommender_answers_the_same(courses: Recommender) -> None:
    courses.fit()
    before = courses.recommend("u1").items
    with Recommender.open(courses.workspace.root, **PARTS) as again:
        assert again.recommend("u1").items == before


def test_the_next_fit_begins_with_the_last_encoder(courses: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    courses.fit()
    given: list[int] = []
    real = training._Run.warm_start

    def seen(run: training._Run, weights: dict) -> None:  # type: ignore[type-arg]
        given.append(len(weights))
        real(run, weights)

    monkeypatch.setattr(training._Run, "warm_start", seen)
    courses.add_items([Item("new", "Amber Birch Coral")])
    courses.fit()
    assert given[0] > 0


def test_an_interrupted_training_leaves_the_release_and_goes_on_at_the_next_fit(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    courses.fit()
    before = courses.recommend("u1").items
    courses.feedback(Event("u1", "s3"))
    courses.feedback(Event("u2", "s3"))
    serving = courses.recommend("u1").items
    real, epochs = training._Run.epoch, []

    def cut_off(run: training._Run) -> None:
        if run.state.epoch == 4:
            raise KeyboardInterrupt
        real(run)

    monkeypatch.setattr(training._Run, "epoch", cut_off)
    with pytest.raises(KeyboardInterrupt):
        courses.fit()
    assert before != serving == courses.recommend("u1").items
    assert (courses.workspace.training / "encoder.safetensors").exists()
    seen = courses.store.last_sequence()
    courses.feedback(Event("u3", "s3"))  # a shop does not stand still, and the training goes on all the same

    def counted(run: training._Run) -> None:
        epochs.append(run.state.epoch + 1)
        real(run)

    monkeypatch.setattr(training._Run, "epoch", counted)
    release = courses.fit()
    assert release.version == "rank/0002"
    assert release.manifest["data"]["last_sequence"] == seen
    assert epochs[0] == 5
    assert courses.fit().manifest["data"]["last_sequence"] == seen + 1
    assert not (courses.workspace.training / "encoder.safetensors").exists()


def test_with_little_behaviour_or_by_wish_texts_alone_are_used(courses: Recommender) -> None:
    settings = {"encoder": {"network": "none"}}
    with Recommender.open(courses.workspace.root, settings, **PARTS) as rec:
        assert "encoder.json" not in rec.fit().manifest["files"]
        assert rec.recommend("u1").items


def test_the_gru_serves_as_well(courses: Recommender) -> None:
    with Recommender.open(courses.workspace.root, {"encoder": {"network": "gru"}}, **PARTS) as rec:
        rec.fit()
        assert rec.recommend("u1").trace.path == "history"


def test_a_changed_encoder_file_is_refused(courses: Recommender) -> None:
    release = courses.fit()
    file = release.directory / "encoder.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with Recommender.open(courses.workspace.root, **PARTS) as again, pytest.raises(ReleaseError, match="was changed"):
        again.recommend("u1")


def test_what_was_refused_neither_teaches_nor_pulls(courses: Recommender) -> None:
    courses.fit()
    before = [one.item.item_id for one in courses.recommend("u1", llm=False).items]
    met = courses.history("u1").seen
    refused = next(item_id for item_id in before if item_id not in met)
    courses.feedback(Event("u1", refused, "hide"))
    after = [one.item.item_id for one in courses.recommend("u1", llm=False).items]
    assert after == [item_id for item_id in before if item_id != refused]
    courses.feedback(Event("grump", "s1", "dislike"))
    assert courses.recommend("grump").trace.path == "popularity"


def test_scores_are_log_chances_and_nobody_is_certain_of_a_stranger(courses: Recommender) -> None:
    courses.fit()
    weight = Fusion.from_dict(courses.releases.list()[-1].part("fusion.json")).retrieval_weight
    levels = [
        np.log(
            np.exp(
                [one.parts["retrieval"] / weight for one in courses.recommend(user, n=20, filter_seen=False).items]
            ).sum()
        )
        for user in ("u1", "u2", "u3", "u4", "u5")
    ]
    assert np.abs(np.mean(levels)) < 1  # the encoder's are exact; evidence moves them
    stranger = courses.recommend("stranger", llm=False)
    assert stranger.trace.path == "popularity"
    assert max(one.probability for one in stranger.items) < 0.9
    assert len({one.score for one in stranger.items}) > 1


def test_a_release_of_other_items_is_refused_and_nothing_changes(courses: Recommender, tmp_path: Path) -> None:
    release = courses.fit()
    with Recommender.create(tmp_path / "shop", SETTINGS, **PARTS) as shop:
        shop.add_items([Item("tea", "Green tea"), *(item for item in courses.items() if item.item_id != "s3")])
        with pytest.raises(ReleaseError, match="trained on other items: 's3'") as caught:
            shop.install(release.directory)
        assert "llmrec fit" in caught.value.hint
        assert not shop.releases.list()
        assert shop.releases.live() is None
        shop.add_items([courses.store.item("s3")])
        assert shop.install(release.directory) == shop.releases.champion()


def test_single_events_teach_nothing_so_no_encoder_goes_live(tmp_path: Path) -> None:
    settings = {"encoder": {"minimum_events": 0}, "fit": {"calibration_users": 0}}
    with Recommender.create(tmp_path / "w", settings, **PARTS) as rec:
        rec.add_items([Item("a", "Amber"), Item("b", "Birch")])
        assert "encoder.json" not in rec.fit().manifest["files"]
        rec.add_events([Event(f"u{number}", "a") for number in range(5)])
        assert "encoder.json" not in rec.fit().manifest["files"]


@pytest.mark.parametrize("damage", ["encoder.safetensors", "manifest.json", "all"])
def test_a_fit_repairs_a_damaged_release(courses: Recommender, damage: str) -> None:
    release = courses.fit()
    if damage == "all":
        shutil.rmtree(release.directory)
    else:
        (release.directory / damage).write_bytes(b"{}")
    with Recommender.open(courses.workspace.root, **PARTS) as rec:
        with pytest.raises(ReleaseError) as caught:
            rec.recommend("u1")
        assert "llmrec fit" in caught.value.hint
        rec.fit()
        assert rec.recommend("u1").items


def test_what_was_said_or_refused_lately_takes_no_credit_from_what_was_taken(courses: Recommender) -> None:
    courses.fit()
    for event in (Event("eve", "s2"), Event("eve", "s3"), Event("eve", "s9", "hide")):
        courses.feedback(event)
    for number in range(SETTINGS["encoder"]["max_events"]):  # type: ignore[call-overload]
        courses.feedback(Event("eve", kind="search", text=f"query {number}"))
    worth = {one.item_id: one.strength for one in courses.explain("eve", "s4").evidence if one.kind == "event"}
    (whole,) = courses.rank(["s2", "s3"], ["s4"], llm=False)
    for gone, rest in (("s3", ["s2"]), ("s2", ["s3"])):
        (without,) = courses.rank(rest, ["s4"], llm=False)
        fall = whole.parts["retrieval"] - without.parts["retrieval"]
        assert worth.get(gone, 0.0) == pytest.approx(fall, abs=0.05)  # the language model's opinion moves it a little
    assert worth["s3"] > 0.5
    assert not worth.get("s9")


def test_what_was_refused_makes_nothing_popular(courses: Recommender) -> None:
    for user in range(40):
        courses.feedback(Event(f"u{user}", "s7", "dislike"))
    counts = courses.fit().part("popularity.json")
    assert counts["s7"] == sum(
        event.item_id == "s7" and not event.is_negative for event in courses.store.events_by_user()
    )


def test_an_interruption_after_the_training_does_not_lose_it(
    courses: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(Fit, "_fusion", interrupt)
        with pytest.raises(KeyboardInterrupt):
            courses.fit()
    monkeypatch.setattr(training._Run, "epoch", lambda _: pytest.fail("it was trained already"))
    assert "encoder.json" in courses.fit().manifest["files"]


def test_heads_that_do_not_divide_the_dimension_are_refused(courses: Recommender) -> None:
    with pytest.raises(ConfigError, match="heads"):
        Recommender.open(courses.workspace.root, {"encoder": {"heads": 3}}, **PARTS)

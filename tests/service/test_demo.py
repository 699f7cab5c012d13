"""The demo: early answers, and nobody's own workspace touched. A small shop stands in for MovieLens."""

import json
from pathlib import Path
from typing import Any

import pytest

import llmrec
from llmrec import Event, Item, Recommender, User
from llmrec.errors import WorkspaceError
from llmrec.service import cli, demo
from llmrec.testing import OverlapLanguageModel, WordEncoder

FILES = {
    "user": "user_id:token\tage:token\n1\t31\n2\t52\n",
    "item": "item_id:token\ttitle:token_seq\tgenres:token_seq\n"
    "1\tLeaf rake\tgarden\n2\tGarden spade\tgarden\n3\tGarden hose\tgarden\n4\tFrying pan\tkitchen\n",
    "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "1\t1\t5\t881250949\n1\t2\t4\t881250950\n2\t4\t5\t881250951\n2\t3\t1\t881250952\n2\t1\t3\t881250953\n2\t2\t3\t881250954\n",
}


@pytest.fixture(autouse=True)
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set that is there already, and models that need no fetching."""
    data = tmp_path / "data"
    data.mkdir()
    for suffix, text in FILES.items():
        (data / f"shop.{suffix}").write_text(text)
    monkeypatch.setattr(demo, "fetch_dataset", lambda _: data)
    monkeypatch.setattr(llmrec.models, "resolve", lambda *_: None)
    real = Recommender.__init__

    def with_fakes(self: Recommender, *given: Any, **parts: Any) -> None:
        real(self, *given, **{"encoder": WordEncoder(), "language_model": OverlapLanguageModel(), **parts})

    monkeypatch.setattr(Recommender, "__init__", with_fakes)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "demo"


def run(place: Path, user_id: str = "1") -> dict[str, Any]:
    return demo.run_demo(place, user_id, as_json=False)


def test_the_recommendation_is_shown_before_the_explanation_is_begun(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    explain, before = Recommender.explain, []

    def watched(self: Recommender, *given: Any, **options: Any) -> Any:
        before.append(capsys.readouterr().out)
        return explain(self, *given, **options)

    monkeypatch.setattr(Recommender, "explain", watched)
    result = run(place)
    (early,) = before
    assert early.index("What user 1 did last") < early.index("For user 1") < early.index("Garden hose")
    assert "Garden spade" in early
    text = result["explanation"]["text"]
    assert text
    assert text not in early
    assert text in capsys.readouterr().out


def test_a_second_run_imports_and_fits_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(place)

    def again(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Recommender, "import_", again)
    monkeypatch.setattr(Recommender, "fit", again)
    second = run(place)
    assert second["recommendation"]["items"] == first["recommendation"]["items"]


def test_a_run_that_was_interrupted_is_gone_on_with(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for name in ("import_", "fit"):
        with monkeypatch.context() as patch:
            patch.setattr(Recommender, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                run(place)
    assert run(place)["recommendation"]["items"]


def test_machines_get_json_alone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "-w", str(place), "--user", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["explanation"]["item_id"] == found["recommendation"]["items"][0]["item_id"]


def test_what_was_added_to_the_demo_is_no_reason_to_refuse_it(place: Path) -> None:
    run(place)
    with Recommender.open(place) as rec:
        rec.add_items([Item("5", "Garden gloves")])
        rec.feedback(Event("3", "5", "like"))
    assert len(run(place)["recommendation"]["items"]) == 3


def test_a_user_to_whom_nothing_is_left_gets_no_explanation(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "2")["explanation"] is None
    assert "Nothing is left to recommend" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("users", "items"),
    [([], [Item("1", "Soup pot")]), ([User("ann")], []), ([], [Item("1", "Leaf rake"), Item("2", "Ladder")])],
)
def test_a_workspace_with_other_data_is_refused_and_left_as_it_was(
    place: Path, users: list[User], items: list[Item]
) -> None:
    with Recommender.create(place) as rec:
        rec.add_users(users)
        rec.add_items(items)
        before = rec.store.counts()
    with pytest.raises(WorkspaceError, match="other data than the demo's") as caught:
        run(place)
    assert "llmrec demo -w" in caught.value.hint
    with Recommender.open(place) as rec:
        assert rec.store.counts() == before
        assert rec.releases.champion() is None


def test_an_empty_workspace_may_be_used(place: Path) -> None:
    Recommender.create(place).close()
    assert run(place)["recommendation"]["items"]

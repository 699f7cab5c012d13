"""A release is whole or it is not there; which one is live is a pointer."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrec.data import Store
from llmrec.errors import ReleaseError
from llmrec.releases import Release, ReleaseStore, release


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[ReleaseStore]:
    with Store.open(f"sqlite:///{tmp_path / 'shop.db'}") as store:
        yield ReleaseStore(tmp_path / "releases", store)


def test_the_first_is_not_live_until_promoted(releases: ReleaseStore) -> None:
    made = releases.create({"fusion.json": {"a": 1}}, {"seed": 7})
    assert made.version == "rank/0001"
    assert releases.champion() is None
    releases.promote(made.version)
    live = releases.champion()
    assert live is not None
    assert live.part("fusion.json") == {"a": 1}
    assert live.manifest["seed"] == 7


def test_versions_count_up_and_are_listed_in_order(releases: ReleaseStore) -> None:
    for _ in range(3):
        releases.create({}, {})
    assert [made.version for made in releases.list()] == ["rank/0001", "rank/0002", "rank/0003"]


def test_a_changed_part_is_refused(releases: ReleaseStore) -> None:
    made = releases.create({"fusion.json": {"a": 1}}, {})
    (made.directory / "fusion.json").write_text('{"a": 2}')
    with pytest.raises(ReleaseError, match="was changed"):
        made.part("fusion.json")
    (made.directory / "fusion.json").unlink()
    with pytest.raises(ReleaseError, match=r"lacks fusion\.json"):
        made.part("fusion.json")


def test_a_release_that_was_cut_off_is_not_listed(releases: ReleaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    real = release._write

    def breaks_at_the_manifest(path: Path, content: object) -> str:
        written.append(path.name)
        if path.name == "manifest.json":
            raise KeyboardInterrupt
        return real(path, content)

    monkeypatch.setattr(release, "_write", breaks_at_the_manifest)
    with pytest.raises(KeyboardInterrupt):
        releases.create({"fusion.json": {}}, {})
    assert written == ["fusion.json", "manifest.json"]
    assert releases.list() == []
    monkeypatch.undo()
    assert releases.create({}, {}).version == "rank/0001"


def test_a_release_is_not_listed_before_it_has_its_name(
    releases: ReleaseStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[list[Release]] = []
    real = Path.rename

    def rename(path: Path, target: Path) -> Path:
        listed.append(releases.list())
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    releases.create({"fusion.json": {}}, {})
    assert listed == [[]]
    assert len(releases.list()) == 1


def test_a_manifest_names_every_part_by_its_hash(releases: ReleaseStore) -> None:
    made = releases.create({"a.json": 1, "b.json": 2}, {})
    files = json.loads((made.directory / "manifest.json").read_text())["files"]
    assert set(files) == {"a.json", "b.json"}
    assert all(len(digest) == 64 for digest in files.values())


def test_no_byte_of_a_manifest_can_be_changed_unnoticed(releases: ReleaseStore) -> None:
    made = releases.create({"a.json": 1}, {"seed": 7, "data": {"last_sequence": 10, 3: (1.5, None)}, "name": "é"})
    path = made.directory / "manifest.json"
    whole = path.read_bytes()
    assert releases.get(made.version).manifest == made.manifest
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        # What is between the entries says nothing.
        if not whole[place : place + 1].isspace():
            with pytest.raises(ReleaseError, match="manifest"):
                releases.get(made.version)
            with pytest.raises(ReleaseError):
                releases.install(made.directory)
    path.write_bytes(whole)
    assert releases.install(made.directory).part("a.json") == 1


def test_a_rollback_brings_back_what_was_live_before(releases: ReleaseStore) -> None:
    with pytest.raises(ReleaseError, match="before"):
        releases.rollback()
    for _ in range(2):
        releases.promote(releases.create({}, {}).version)
    assert releases.rollback().version == "rank/0001"
    assert releases.rollback().version == "rank/0002"


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '"x"', None])
def test_a_damaged_manifest_is_refused_and_does_not_hide_the_others(
    releases: ReleaseStore, content: str | None
) -> None:
    broken, whole = releases.create({}, {}), releases.create({}, {})
    manifest = broken.directory / "manifest.json"
    manifest.unlink()
    if content is None:
        manifest.mkdir()
    else:
        manifest.write_text(content)
    with pytest.raises(ReleaseError, match="manifest") as caught:
        releases.get(broken.version)
    assert "llmrec fit" in caught.value.hint
    assert [made.version for made in releases.list()] == [whole.version]


@pytest.mark.parametrize("version", [None, 5, "", "rank/../../etc", "champion"])
def test_what_is_no_version_is_refused(releases: ReleaseStore, version: object) -> None:
    with pytest.raises(ReleaseError, match="no version"):
        releases.promote(version)  # type: ignore[arg-type]


def test_promoting_what_does_not_exist_changes_nothing(releases: ReleaseStore) -> None:
    releases.promote(releases.create({}, {}).version)
    with pytest.raises(ReleaseError, match="rank/0009") as caught:
        releases.promote("rank/0009")
    assert "0001" in caught.value.hint
    live = releases.champion()
    assert live is not None
    assert live.version == "rank/0001"


def test_a_release_follows_only_the_one_that_it_was_made_to_follow(releases: ReleaseStore) -> None:
    first, second, third = (releases.create({}, {}).version for _ in range(3))
    assert releases.succeed(None, first)
    assert not releases.succeed(None, second)
    assert not releases.succeed(third, second)
    assert releases.live() == first
    assert [deed.release for deed in releases.log() if deed.state == "promoted"] == [first]
    assert releases.succeed(first, second, "retrain")
    assert releases.live() == second
    assert releases.rollback().version == first


def test_what_is_damaged_goes_live_in_no_way(releases: ReleaseStore) -> None:
    first, second = (releases.create({"fusion.json": number}, {}) for number in (1, 2))
    releases.promote(first.version)
    releases.promote(second.version)
    (first.directory / "fusion.json").write_text("3")
    for way in (
        releases.rollback,
        lambda: releases.promote(first.version),
        lambda: releases.succeed(None, "rank/0001"),
    ):
        with pytest.raises(ReleaseError, match="was changed after it was made"):
            way()
    assert releases.live() == second.version


def test_a_rollback_beside_another_promotion_is_told(releases: ReleaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        releases.promote(releases.create({}, {}).version)
    whole = releases._whole

    def meanwhile(version: str) -> Release:
        monkeypatch.undo()
        releases.promote("rank/0001")
        return whole(version)

    monkeypatch.setattr(releases, "_whole", meanwhile)
    with pytest.raises(ReleaseError, match="meanwhile"):
        releases.rollback()
    assert releases.live() == "rank/0001"


def test_a_number_is_never_given_twice(releases: ReleaseStore) -> None:
    releases.create({}, {})
    releases.discard(releases.create({}, {}))
    assert releases.create({}, {}).version == "rank/0003"


def test_a_release_may_know_what_came_before_it_but_for_what_was_withheld(releases: ReleaseStore) -> None:
    made = releases.create({}, {"data": {"last_sequence": 9, "withheld": [2, 3, 9]}})
    assert [sequence for sequence in range(1, 12) if made.may_know(sequence)] == [1, 4, 5, 6, 7, 8]
    older = releases.create({}, {"data": {"last_sequence": 2}})
    assert [sequence for sequence in range(1, 5) if older.may_know(sequence)] == [1, 2]


def test_a_release_that_was_asked_otherwise_says_with_which_settings(tmp_path: Path) -> None:
    told = {"attributes": 0, "evidence": 1, "text_tokens": 32, "history_tokens": 192, "enabled": True}
    release = Release("rank/0001", tmp_path, {"prompt": "abc:0:32:evidence1", "settings": {"ranking": told}})
    release.require("prompt", "abc:0:32:evidence1")
    with pytest.raises(ReleaseError, match="another prompt") as caught:
        release.require("prompt", "abc:8:32")
    assert (
        'ask = "choice", attributes = 0, evidence = 1, text_tokens = 32, history_tokens = 192 in [ranking]'
        in caught.value.hint
    )
    assert "enabled" not in caught.value.hint


def test_a_release_without_an_adapter_tells_of_no_gain() -> None:
    trained = {"metrics": {"adapter": {"gains": [0.1, -0.2]}}, "created": "2026-01-01T00:00:00+00:00"}
    without = Release("rank/0001", Path(), {**trained, "files": {}})
    assert without.to_dict(None, None)["adapter"] == ""
    has_one = Release("rank/0001", Path(), {**trained, "files": {"adapter/adapter_config.json": "0"}})
    assert has_one.to_dict(None, None)["adapter"] == "gain +0.1000"

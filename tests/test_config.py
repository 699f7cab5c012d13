"""File < environment < arguments, and nothing misspelt goes unnoticed."""

from pathlib import Path

import pytest

from llmrec import Settings
from llmrec.config import RankingSettings
from llmrec.errors import ConfigError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_later_layers_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "llmrec.toml", "[retrieval]\ncandidates = 20\nhalf_life = 3.5\n[fit]\nseed = 1\n")
    monkeypatch.setenv("LLMREC_RETRIEVAL__CANDIDATES", "30")
    monkeypatch.setenv("LLMREC_FIT__SEED", "2")
    settings = Settings.load(file, {"fit": {"seed": 3}})
    assert (settings.retrieval.half_life, settings.retrieval.candidates, settings.fit.seed) == (3.5, 30, 3)


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert Settings.load(tmp_path / "none.toml") == Settings()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[retrieval]\ncandidate = 5", "retrieval.candidate"),
        ("[retreival]\ncandidates = 5", "retreival"),
        ("[retrieval]\ncandidates = 0", "retrieval.candidates"),
        ("[retrieval]\nhalf_life = nan", "half_life"),
        ("[models]\ndtype = 'float16'", "dtype"),
        ("candidates = 5", "candidates"),
        ("[retrieval", "TOML"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_the_key(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Settings.load(write(tmp_path / "llmrec.toml", text))


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("LLMREC_MODELS__DEVCIE=cpu", "no setting LLMREC_MODELS__DEVCIE", "LLMREC_MODELS__DEVICE"),
        ("LLMREC_MODEL__DEVICE=cpu", "no setting LLMREC_MODEL__DEVICE", "LLMREC_MODELS__DEVICE"),
        ("LLMREC_NOTHING__OF__OURS=1", "no setting LLMREC_NOTHING__OF__OURS", "remove it in the environment"),
        ("LLMREC_RETRIEVAL__CANDIDATES=many", "LLMREC_RETRIEVAL__CANDIDATES = 'many'", "the environment"),
        ("LLMREC_CANDIDATES=5", "LLMREC_CANDIDATES", "LLMREC_SECTION__KEY"),
    ],
)
def test_a_wrong_variable_is_named_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, message: str, hint: str
) -> None:
    monkeypatch.setenv(*written.split("="))
    with pytest.raises(ConfigError, match=message) as caught:
        Settings.load(tmp_path / "llmrec.toml")
    assert hint in caught.value.hint


def test_a_wrong_argument_is_not_blamed_on_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMREC_FIT__SEED", "2")
    with pytest.raises(ConfigError, match=r"fit\.seed = 'x'"):
        Settings.load(tmp_path / "llmrec.toml", {"fit": {"seed": "x"}})


@pytest.mark.parametrize(("key", "meant"), [("[models]\ndevcie = 'cpu'", "models.device"), ("[model]\n", "models")])
def test_a_misspelt_key_of_the_file_is_told_what_may_be_meant(tmp_path: Path, key: str, meant: str) -> None:
    with pytest.raises(ConfigError, match="there is no setting") as caught:
        Settings.load(write(tmp_path / "llmrec.toml", key))
    assert f"did you mean {meant}?" in caught.value.hint


@pytest.mark.parametrize("name", ["LLMREC_LOG", "LLMREC_CACHE", "LLMREC_OFFLINE"])
def test_variables_that_are_no_settings_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    assert Settings.load(tmp_path / "none.toml") == Settings()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[ranking]\nask = "title"\nevidence = 1', "set evidence = 0 in [ranking]"),
        ('[ranking]\nask = "title"\n[learning]\npull = 0.5', "set pull = 0 in [learning]"),
        ("[encoder]\ndimension = 33\nheads = 2", "heads = 2 do not divide dimension = 33"),
    ],
)
def test_settings_that_do_not_go_together_say_why(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "llmrec.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        Settings.load(tmp_path / "llmrec.toml")
    assert named in str(caught.value)
    assert "{" not in str(caught.value)
    assert "llmrec.toml" in caught.value.hint


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    settings = Settings(ranking=RankingSettings(enabled=False, text_tokens=20))
    file = write(tmp_path / "llmrec.toml", settings.to_toml())
    assert Settings.load(file) == settings
    assert "\nenabled = false\n" in file.read_text(encoding="utf-8")
    assert "\n#history_tokens = 384\n" in file.read_text(encoding="utf-8")


def test_a_password_is_never_shown() -> None:
    settings = Settings.model_validate({"store": {"url": "postgresql+psycopg://user:secret@host/db"}})
    assert "secret" not in repr(settings)
    assert "secret" not in str(settings.model_dump(mode="json"))


def test_defaults_give_way_to_the_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "llmrec.toml"
    path.write_text("[learning]\nothers = 3\n")
    monkeypatch.setenv("LLMREC_LEARNING__RANK", "2")
    defaults = {"learning": {"others": 5, "rank": 4, "most_lists": 6}, "ranking": {"attributes": 0}}
    found = Settings.load(path, defaults=defaults)
    assert (found.learning.others, found.learning.rank, found.learning.most_lists) == (3, 2, 6)
    assert found.ranking.attributes == 0
    assert Settings.load(path, {"learning": {"others": 9}}, defaults=defaults).learning.others == 9

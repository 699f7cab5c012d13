"""The README's Python runs as it stands, with the real models."""

import re
from pathlib import Path

import pytest

from tests.service.serving import served

README = Path(__file__).parents[1] / "README.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    first, more, talk, client = blocks()
    names: dict[str, object] = {"table": [{"item_id": "pot", "title": "Soup pot", "room": "terrace"}]}
    exec(first, names)  # noqa: S102 - the README is ours
    out = capsys.readouterr().out
    assert "Frying pan" in out
    assert any(
        words in out for words in ("because you bought Leaf rake", "does not rest on", "although nothing you did")
    )
    exec(more, names)  # noqa: S102
    rec = names["rec"]
    assert {item.item_id for item in rec.items()} == {"rake", "pan", "hose", "pot"}  # type: ignore[attr-defined]
    exec(talk, names)  # noqa: S102
    out = capsys.readouterr().out
    assert "no kitchen" in out
    with served(rec) as address:  # type: ignore[arg-type]
        exec(client.replace("http://127.0.0.1:8000", address), names)  # noqa: S102
    assert "1. " in capsys.readouterr().out
    names["client"].close()  # type: ignore[attr-defined]
    rec.close()  # type: ignore[attr-defined]

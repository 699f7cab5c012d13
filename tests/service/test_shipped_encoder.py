"""`--encoder DIR` of the evaluation scripts: a shipped encoder is measured, and nothing is trained."""

import json
import shutil
from pathlib import Path

import pytest

from llmrec.config import Settings
from llmrec.errors import ConfigError, ReleaseError
from llmrec.service.evaluating import lineup_of

SHIPPED = Path(__file__).parents[2] / "adapters" / "ml-1m"


def test_a_shipped_encoder_takes_the_trainings_place() -> None:
    lineup = lineup_of(Settings(), shipped=SHIPPED)
    assert lineup.shipped is not None
    assert len(lineup.shipped.item_ids) == 3416


@pytest.mark.parametrize("training", [{"seeds": 2}, {"epochs": 3}, {"sasrec": True}, {"baselines_only": True}])
def test_it_is_not_trained_further(training: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="nothing is trained"):
        lineup_of(Settings(), shipped=SHIPPED, **training)  # type: ignore[arg-type]


def test_what_is_no_encoder_is_refused_with_a_next_step(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="no encoder to read") as caught:
        lineup_of(Settings(), shipped=tmp_path)
    assert "adapters/ml-1m" in caught.value.hint
    (tmp_path / "encoder.json").write_text("{}")
    (tmp_path / "encoder.safetensors").write_bytes(b"")
    with pytest.raises(ReleaseError, match="no encoder to read"):
        lineup_of(Settings(), shipped=tmp_path)
    shutil.copy(SHIPPED / "encoder.json", tmp_path)
    (tmp_path / "encoder.safetensors").write_bytes((SHIPPED / "encoder.safetensors").read_bytes()[:1000])
    with pytest.raises(ReleaseError, match="no encoder to read"):
        lineup_of(Settings(), shipped=tmp_path)


def test_an_encoder_for_other_text_vectors_is_refused(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "copy")
    manifest = tmp_path / "copy" / "manifest.json"
    about = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps(about | {"text_encoder": "another"}))
    with pytest.raises(ReleaseError, match="another text encoder"):
        lineup_of(Settings(), shipped=tmp_path / "copy")

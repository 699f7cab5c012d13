"""What the package promises as a whole: cheap import, a direction of imports, one owner per heavy dependency."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import llmrec

PACKAGE = Path(llmrec.__file__).parent
LAYERS = [
    ["errors"],
    ["records", "files", "conditions"],
    ["requests"],
    ["config"],
    ["downloads"],
    ["artifacts", "workspace"],
    ["models", "data"],
    ["releases"],
    ["retrieval"],
    ["words"],
    ["ranking"],
    ["explaining", "evaluation"],
    ["chat"],
    ["fitting", "parts"],
    ["serving", "keeping"],
    ["answering"],
    ["recommender"],
    ["learning"],
    ["service", "testing"],
    ["__main__"],
]
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}
OWNERS = {
    "faiss": {"retrieval/index.py"},
    "sqlalchemy": {"data"},
    "alembic": {"data"},
    "implicit": {"evaluation/baselines.py"},
    "jinja2": {"ranking/prompts.py"},
    "matplotlib": {"evaluation/plots.py"},
    "typer": {"service"},
    "rich": {"service"},
    "torch": {"models", "retrieval", "evaluation/encoders.py", "learning/training.py"},
    "accelerate": {"learning/training.py", "learning/lessons.py"},
    "transformers": {"models", "retrieval/encoder.py"},
    "peft": {"models"},
    "trl": {"learning/answer_training.py"},
    "presidio_analyzer": {"learning/scrubbing.py"},
    "datasets": {"learning/answer_training.py"},
    "rapidfuzz": {"words"},
    "fastapi": {"service"},
    "starlette": {"service"},
    "uvicorn": {"service"},
    "prometheus_client": {"service"},
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent != PACKAGE)


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {
                f"{node.module}.{alias.name}" if node.module == "llmrec" else str(node.module) for alias in node.names
            }
    return names


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = {name.split(".")[1] for name in imported(path) if name.startswith("llmrec.")}
    above = {name for name in own if name in HEIGHT and HEIGHT[name] > HEIGHT.get(room(path), 0)}
    assert not above, f"{path} imports from above: {above}"


def test_every_room_has_a_layer() -> None:
    assert {room(path) for path in modules()} <= set(HEIGHT)


@pytest.mark.parametrize("library", OWNERS)
def test_a_heavy_dependency_has_one_owner(library: str) -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        if any(name.split(".")[0] == library for name in imported(path))
    }
    strangers = {user for user in users if not any(user.startswith(owner) for owner in OWNERS[library])}
    assert not strangers


def test_importing_the_package_loads_neither_torch_nor_faiss() -> None:
    code = "import sys, llmrec.service.cli; print([m for m in ('torch', 'faiss', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_sorted_and_exist() -> None:
    assert llmrec.__all__ == sorted(llmrec.__all__)
    for name in llmrec.__all__:
        assert getattr(llmrec, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = llmrec.nonsense

"""The page shows everything, needs nothing, and runs nothing."""

import builtins
import re
from base64 import b64decode
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from llmrec.errors import MissingExtraError
from llmrec.evaluation import (
    Ease,
    EvaluationOptions,
    Popularity,
    Report,
    evaluate,
    leave_one_out,
    release_outcomes,
    report_page,
)
from llmrec.evaluation.page import draw_plots
from llmrec.records import Event
from tests.evaluation.worlds import blocks

NASTY = '<script>alert("$x$")</script> 日本'


def nasty_report(name: str = NASTY) -> Report:
    ease = Ease(10.0)
    ease.name = name
    log = [Event("ann", "rake", kind, recommendation_id="r1") for kind in ("impression", "like")]
    return evaluate(
        leave_one_out(blocks()),
        [ease, Popularity()],
        EvaluationOptions(resamples=20, groups={name: {"u00": name}}),
        depth=20,
        notes=[name],
        releases=release_outcomes(log, lambda _: name),
    )


@pytest.fixture(scope="module")
def page() -> str:
    pytest.importorskip("matplotlib")
    return report_page(nasty_report())


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_every_text_is_escaped_and_nothing_runs(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert "script" not in {tag for tag, _ in tags.found}
    assert page.count("&lt;script&gt;") >= 5
    assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes)


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    sources = [
        value or "" for _, attributes in tags.found for name, value in attributes.items() if name in ("src", "href")
    ]
    assert len(sources) == 4
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert "default-src 'none'" in page


def test_the_pictures_are_svg_with_the_names_as_text(page: str) -> None:
    pictures = [b64decode(data).decode() for data in re.findall(r"base64,([^\"]+)", page)]
    for picture in pictures:
        root = ElementTree.fromstring(picture)  # noqa: S314 - our own
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        texts = {"".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")}
        assert {NASTY, "popularity"} <= texts
    assert "recall@20" in pictures[0]
    assert "short_histories" in pictures[1]
    assert "the users' histories" in pictures[3].replace("&apos;", "'")


def test_the_tables_are_there(page: str) -> None:
    for heading in ("Systems", "Differences on the same users", "Slices", "All metrics", "Data", "Protocol", "Machine"):
        assert f"<h2>{heading}</h2>" in page
    assert "100.0%" in page


def test_the_same_report_gives_the_same_pictures() -> None:
    pytest.importorskip("matplotlib")
    one = nasty_report("ease")
    assert draw_plots(one) == draw_plots(one)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **options: object) -> object:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return real(name, *rest, **options)  # type: ignore[arg-type]

    one = nasty_report("ease")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match="matplotlib") as missing:
        report_page(one)
    assert "llmrec[report]" in missing.value.hint

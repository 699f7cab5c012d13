"""A browser on the page of a served shop; whatever it complains of fails the test.

Waiting goes by locators: the page's policy forbids the evaluation that `wait_for_function` needs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest

from llmrec import Recommender
from tests.service.serving import served

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
CARDS = "#list-body .cards:not(.skeletons) .card"
WAIT = 30_000


@contextmanager
def browser_or_skip() -> Iterator[Any]:
    """Chromium; without it the tests are skipped, except where CI promises to have it."""
    sync_api = module_or_skip("playwright.sync_api")
    if not CHROMIUM.exists():
        _is_missing(f"there is no browser at {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


def module_or_skip(name: str) -> Any:
    """A module that only these tests need."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        return _is_missing(f"{name} is not installed")


def _is_missing(why: str) -> NoReturn:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(why)


@contextmanager
def tab(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    """A tab of its own at an address; errors of its scripts and its policy fail the test, refused requests do not."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options})
    page = context.new_page()
    page.set_default_timeout(WAIT)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if _complains(said) else None)
    page.goto(address)
    yield page
    context.close()
    assert complaints == []


@contextmanager
def shown(browser: Any, rec: Recommender, user: str = "ann", **options: Any) -> Iterator[Any]:
    """A tab with the list of a user."""
    with served(rec) as address, tab(browser, f"{address}/#user={user}", **options) as page:
        page.wait_for_selector(CARDS)
        yield page


def _complains(said: Any) -> bool:
    return said.type == "error" and "Failed to load resource" not in said.text


def titles(page: Any) -> list[str]:
    """What is on the list, best first."""
    return [str(text) for text in page.locator(f"{CARDS} h2").all_inner_texts()]


def settled(page: Any) -> None:
    """Wait until the list that was asked for is there."""
    page.wait_for_selector(CARDS.replace("#list-body", "#list-body:not([aria-busy])"))


def say(page: Any, text: str) -> None:
    """Say something in the conversation and wait for the reply."""
    replies = page.locator(".theirs .reply-foot").count()
    page.get_by_label("Your message").fill(text)
    page.get_by_label("Your message").press("Enter")
    page.locator(".theirs .reply-foot").nth(replies).wait_for()

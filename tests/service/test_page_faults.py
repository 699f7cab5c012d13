"""The page where the service is gone, busy, late or talks nonsense: it says so, waits, and goes on."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llmrec import Recommender
from tests.service.browsing import CARDS, browser_or_skip, say, settled, shown, tab, titles
from tests.service.serving import served

Route = Any


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browser_or_skip() as launched:
        yield launched


def first_times(times: int, answer: Callable[[Route], None]) -> Callable[[Route], None]:
    """Answer so a few times; afterwards the real service does."""
    left = [times]

    def handle(route: Route) -> None:
        left[0] -= 1
        if left[0] >= 0:
            answer(route)
        else:
            route.continue_()

    return handle


def busy(status: int) -> Callable[[Route], None]:
    problem = {"title": "Busy", "status": status, "detail": "eight requests wait already", "hint": "come again"}
    headers = {"Retry-After": "1", "Content-Type": "application/problem+json"}
    return lambda route: route.fulfill(status=status, headers=headers, body=json.dumps(problem))


def streamed(*events: tuple[str, dict[str, Any]]) -> Callable[[Route], None]:
    body = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    return lambda route: route.fulfill(status=200, headers={"Content-Type": "text/event-stream"}, body=body)


def test_a_server_that_is_gone_is_told_and_found_again(browser: Any, fitted: Recommender) -> None:
    with served(fitted) as address, tab(browser, address) as page:
        page.get_by_role("button", name="ann").wait_for()
        page.context.set_offline(True)
        page.get_by_role("button", name="ann").click()
        page.locator("#banner", has_text="does not answer").wait_for()
        page.context.set_offline(False)
        settled(page)
        page.locator("#banner").wait_for(state="hidden")


def test_words_said_while_the_server_is_gone_are_not_lost(browser: Any, fitted: Recommender) -> None:
    with shown(browser, fitted) as page:
        page.context.set_offline(True)
        page.get_by_label("Your message").fill("recommend something")
        page.get_by_role("button", name="Send").click()
        failed = page.locator(".theirs .problem")
        failed.wait_for()
        page.context.set_offline(False)
        failed.get_by_role("button", name="Try again").click()
        page.locator(".theirs .small-item").first.wait_for()
        assert page.locator(".mine").count() == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for(browser: Any, fitted: Recommender, status: int) -> None:
    with served(fitted) as address, tab(browser, address) as page:
        page.route("**/v1/recommend", first_times(2, busy(status)))
        page.get_by_role("button", name="ann").click()
        page.locator("#toast", has_text="eight requests wait already").wait_for()
        settled(page)


def test_a_server_that_stays_busy_is_told_in_place(browser: Any, fitted: Recommender) -> None:
    with served(fitted) as address, tab(browser, address) as page:
        page.route("**/v1/recommend", first_times(5, busy(503)))
        page.get_by_role("button", name="ann").click()
        problem = page.locator("#list-notices .problem")
        problem.wait_for()
        assert "come again" in problem.inner_text()
        problem.get_by_role("button", name="Try again").click()
        settled(page)


@pytest.mark.parametrize("body", ["<html>bad gateway</html>", ""])
@pytest.mark.parametrize("status", [200, 502])
def test_an_answer_that_is_no_json_is_a_problem_with_a_retry(
    browser: Any, fitted: Recommender, status: int, body: str
) -> None:
    with served(fitted) as address, tab(browser, address) as page:
        page.route("**/v1/recommend", first_times(1, lambda route: route.fulfill(status=status, body=body)))
        page.get_by_role("button", name="ann").click()
        problem = page.locator("#list-notices .problem")
        problem.get_by_text("The answer cannot be read").wait_for()
        problem.get_by_role("button", name="Try again").click()
        settled(page)


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([("start", {"conversation_id": "C"}), ("delta", {"text": "For you"})], "The reply broke off"),
        ([("start", {"conversation_id": "C"}), ("error", {"title": "Out of memory", "hint": "less"})], "Out of memory"),
    ],
)
def test_a_reply_that_breaks_off_is_told(browser: Any, fitted: Recommender, events: Any, told: str) -> None:
    with shown(browser, fitted) as page:
        page.route("**/v1/chat", streamed(*events))
        page.get_by_label("Your message").fill("recommend something")
        page.get_by_label("Your message").press("Enter")
        page.locator(".theirs .problem", has_text=told).wait_for()
        assert page.get_by_role("button", name="Send").is_visible()


def test_a_list_that_comes_too_late_is_not_shown(browser: Any, fitted: Recommender) -> None:
    own = [one.item.title for one in fitted.recommend("bob").items]
    held: list[Route] = []
    with served(fitted) as address, tab(browser, address) as page:
        page.route("**/v1/recommend", first_times(1, held.append))
        page.get_by_role("button", name="ann").click()
        page.locator(".skeleton").first.wait_for()
        field = page.get_by_role("combobox", name="Who are you?")
        field.fill("bob")
        page.get_by_role("option", name="bob").click()
        settled(page)
        held[0].abort()
        assert titles(page) == own


def test_a_thumb_is_sent_and_taken_back(browser: Any, fitted: Recommender) -> None:
    reply = {"conversation_id": "C", "turn": 3, "text": "Done.", "intents": [], "actions": [], "constraints": []}
    sent: list[Any] = []

    def keep(route: Route) -> None:
        sent.append(route.request.post_data_json["up"])
        route.fulfill(json={"turn": 3, "up": sent[-1]})

    with shown(browser, fitted) as page:
        page.route("**/v1/chat", streamed(("start", {"conversation_id": "C"}), ("reply", reply)))
        page.route("**/v1/chat/C/turns/3/thumb", keep)
        say(page, "recommend something")
        good = page.get_by_role("button", name="Good reply")
        for pressed in ("true", "false"):
            good.click()
            page.locator(f'[aria-label="Good reply"][aria-pressed="{pressed}"]').wait_for()
        assert sent == [True, None]


def test_the_curves_of_champion_and_challenger_are_drawn_and_written(browser: Any, fitted: Recommender) -> None:
    curve = [{"lists": 128, "gain": -0.004}, {"lists": 256, "gain": 0.0122}]
    challenger = {
        "version": "rank/0002", "created": "2024-05-01T00:00:00Z", "state": "refused", "reason": "not better",
        "curve": curve, "difference": {"value": 0.001, "low": -0.002, "high": 0.004},
    }  # fmt: skip
    learnt = {
        "live": "rank/0001", "events": 12, "waiting": 3, "last_retrain": None, "running": False,
        "champion": {"version": "rank/0001", "created": None, "curve": curve}, "challenger": challenger,
    }  # fmt: skip
    with shown(browser, fitted) as page:
        page.route("**/v1/learning", lambda route: route.fulfill(json=learnt))
        page.get_by_role("tab", name="Learning").click()
        page.get_by_role("img", name="champion rank/0001 ends at +0.0122").wait_for()
        assert page.locator("#learning polyline").count() == 4
        assert "rank/0002 was refused" in page.locator(".verdict").inner_text()
        assert "not better" in page.locator(".verdict").inner_text()
        page.get_by_text("Figures").click()
        assert page.locator("#learning tbody tr").count() == 4


def test_nothing_moves_where_motion_is_not_wanted(browser: Any, fitted: Recommender) -> None:
    with shown(browser, fitted) as page:
        page.get_by_role("button", name=f"Hide {titles(page)[0]}", exact=True).click()
        page.locator(".moved").wait_for()
        assert page.evaluate("document.getAnimations().length") == 0
        page.locator(CARDS).first.wait_for()

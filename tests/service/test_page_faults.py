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


def test_words_said_while_the_server_is_gone_can_be_said_again_once_they_are_known_not_to_have_arrived(
    browser: Any, fitted: Recommender
) -> None:
    with shown(browser, fitted) as page:
        page.context.set_offline(True)
        page.get_by_label("Your message").fill("recommend something")
        page.get_by_role("button", name="Send").click()
        page.locator(".theirs .problem", has_text="does not answer").wait_for()
        assert page.locator(".theirs").get_by_role("button", name="Try again").count() == 0
        page.context.set_offline(False)
        failed = page.locator(".theirs .problem", has_text="did not arrive")
        failed.get_by_role("button", name="Try again").click()
        page.locator(".theirs .small-item").first.wait_for()
        assert page.locator(".mine").count() == 1


def test_what_was_said_before_the_connection_broke_is_said_once_and_its_result_shown(
    browser: Any, fitted: Recommender
) -> None:
    def lose_the_answer(route: Route) -> None:
        route.fetch()
        route.abort("connectionreset")

    with shown(browser, fitted) as page:
        page.route("**/v1/chat", lose_the_answer)
        title = titles(page)[0]
        page.get_by_label("Your message").fill(f"hide the {title}")
        page.get_by_label("Your message").press("Enter")
        page.locator(".theirs .reply-foot").wait_for()
        page.get_by_role("heading", name=title).wait_for(state="detached")
        assert [event.kind for event in fitted.history("ann").events].count("hide") == 1
        assert page.locator(".mine").count() == 1
        assert page.get_by_role("button", name="Try again").count() == 0


def test_feedback_whose_answer_was_lost_is_sent_again_and_stored_once(browser: Any, fitted: Recommender) -> None:
    sent: list[Any] = []

    def lose_the_first(route: Route) -> None:
        sent.append(route.request.post_data_json["event_id"])
        if len(sent) > 1:
            return route.continue_()
        route.fetch()
        return route.abort("connectionreset")

    with shown(browser, fitted) as page:
        page.route("**/v1/feedback", lose_the_first)
        page.get_by_role("button", name=f"Like {titles(page)[1]}", exact=True).click()
        page.locator(".moved").wait_for()
        assert len(sent) == 2
        assert [event.kind for event in fitted.history("ann").events].count("like") == 1


def test_a_reply_that_is_stopped_goes_on_and_its_result_is_shown(browser: Any, fitted: Recommender) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    with shown(browser, fitted) as page:
        page.route("**/v1/chat", hold)
        page.get_by_label("Your message").fill("recommend something")
        page.get_by_label("Your message").press("Enter")
        page.locator(".theirs .progress").wait_for()
        page.get_by_role("button", name="Stop the reply").click()
        page.get_by_text("Stopped listening: the request goes on").wait_for()
        assert page.locator(".theirs").get_by_role("button").count() == 0
        said = held[0].request.post_data_json
        fitted.chat("ann", said["conversation_id"]).send(said["message"])
        page.locator(".theirs .reply-foot").wait_for()
        assert page.locator(".mine").count() == 1


def test_a_title_with_line_separators_does_not_lose_the_reply(browser: Any, fitted: Recommender) -> None:
    text = "Before\u2028and\u2029after: done."
    reply = {"conversation_id": "C", "turn": 1, "text": text, "intents": [], "actions": [], "constraints": []}
    body = f"event:reply\ndata: {json.dumps(reply, ensure_ascii=False)}\n\n".encode()
    with shown(browser, fitted) as page:
        headers = {"Content-Type": "text/event-stream"}
        page.route("**/v1/chat", lambda route: route.fulfill(status=200, headers=headers, body=body))
        say(page, "recommend something")
        assert "after: done." in page.locator(".theirs").inner_text()


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
        "live": "rank/0001", "events": 12, "waiting": 3, "last_retrain": None, "running": True, "doing": "retrain",
        "champion": {"version": "rank/0001", "created": None, "curve": curve}, "challenger": challenger,
    }  # fmt: skip
    with shown(browser, fitted) as page:
        page.route("**/v1/learning", lambda route: route.fulfill(json=learnt))
        page.get_by_role("tab", name="Learning").click()
        page.get_by_role("img", name="champion rank/0001 ends at +0.0122").wait_for()
        assert page.locator("#learning polyline").count() == 4
        assert "retrain is running" in page.locator("#learning .facts").inner_text()
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

"""The page against the real service: what somebody does there happens, and everybody can do it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmrec import Event, Item, Recommender, User
from llmrec.service.web.keys import Keys
from llmrec.testing import FailingLanguageModel, WordEncoder
from tests.conftest import open_shop
from tests.service.browsing import CARDS, browser_or_skip, module_or_skip, say, settled, shown, tab, titles
from tests.service.serving import served

NARROW = {"width": 320, "height": 640}
FIRST = f"{CARDS}:first-child"
PARTS = {"llm": "language model", "retrieval": "retrieval"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browser_or_skip() as launched:
        yield launched


def kinds(rec: Recommender, user: str = "ann") -> list[str]:
    return [event.kind for event in rec.history(user).events]


def number(text: str) -> float:
    """A number as the page writes it, with a true minus."""
    return float(text.replace("\N{MINUS SIGN}", "-"))


def test_bars_show_what_sets_the_items_of_a_list_apart(browser: Any, fitted: Recommender) -> None:
    items = fitted.recommend("ann").items
    name, words = next((name, words) for name, words in PARTS.items() if name in items[0].parts)
    mean = sum(one.parts.get(name, 0.0) for one in items) / len(items)
    with shown(browser, fitted) as page:
        assert "mean on this list" in page.locator(".bars-note").inner_text()
        rows = page.locator(".cards .bar-row", has_text=words)
        lowered = [rows.nth(place).locator(".minus").count() == 1 for place in range(len(items))]
        assert lowered == [one.parts[name] < mean for one in items]
        assert len(set(lowered)) == 2


def test_a_list_is_shown_with_what_its_scores_are_the_sum_of(browser: Any, fitted: Recommender) -> None:
    own = fitted.recommend("ann")
    with shown(browser, fitted) as page:
        assert titles(page) == [one.item.title for one in own.items]
        card = page.locator(FIRST)
        numbers = [number(text) for text in card.locator(".bar-value").all_inner_texts()]
        score = number(card.locator(".score-line b").first.inner_text())
        assert sum(numbers) == pytest.approx(score, abs=0.02)
        assert score == pytest.approx(own.items[0].score, abs=0.006)
        assert "room garden" in card.locator(".attributes").inner_text().replace("\n", " ")
        page.get_by_text("How this list came about").click()
        how = page.locator("#list-foot").inner_text()
        assert "rank/0001" in how
        assert "overlap" in how


def test_a_reload_keeps_the_user_and_somebody_new_begins(browser: Any, fitted: Recommender) -> None:
    with served(fitted) as address, tab(browser, address) as page:
        page.get_by_role("button", name="bob").click()
        settled(page)
        page.reload()
        settled(page)
        assert page.locator(".person-now").inner_text().startswith("bob")
        field = page.get_by_role("combobox", name="Who are you?")
        field.fill("zoë & co?")
        page.get_by_text("begin as somebody new").wait_for()
        field.press("Enter")
        page.get_by_text("nobody knows them yet").wait_for()
        settled(page)
        page.get_by_text("How this list came about").click()
        assert "from what most people take" in page.locator("#list-foot").inner_text()


@pytest.mark.parametrize("user", [".", ".."])
def test_an_id_that_no_address_can_hold_is_refused(browser: Any, fitted: Recommender, user: str) -> None:
    with served(fitted) as address, tab(browser, address) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.get_by_role("button", name="bob").wait_for()
        asked.clear()
        page.goto(f"{address}/#user={user}")
        page.get_by_text(f"The id “{user}” cannot be used here").wait_for()
        page.get_by_role("button", name="bob").wait_for()
        assert [url for url in asked if "/v1/" in url and "/v1/users?" not in url] == []
        page.get_by_role("button", name="bob").click()
        settled(page)
        assert page.get_by_text("cannot be used here").count() == 0


def test_the_api_opens_beside_the_page(browser: Any, fitted: Recommender) -> None:
    with shown(browser, fitted) as page:
        link = page.get_by_role("link", name="API")
        assert (link.get_attribute("target"), link.get_attribute("rel")) == ("_blank", "noopener")


def test_why_opens_a_drawer_and_escape_gives_the_focus_back(browser: Any, fitted: Recommender) -> None:
    with shown(browser, fitted) as page:
        page.locator(f'{FIRST} [data-act="why"]').click()
        drawer = page.get_by_role("dialog")
        text = fitted.explain("ann", fitted.recommend("ann").items[0].item.item_id).text
        drawer.get_by_text(text).wait_for()
        assert "Leaf rake" in drawer.locator(".bars").first.inner_text()
        drawer.get_by_role("combobox", name="Why not").fill("soup")
        drawer.get_by_role("option", name="Soup pot").click()
        drawer.get_by_role("heading", name="Why Soup pot?").wait_for()
        page.wait_for_selector("dialog .reason")
        page.keyboard.press("Escape")
        assert drawer.count() == 0
        assert page.evaluate("document.activeElement.dataset.act") == "why"


def test_a_like_counts_at_once_and_can_be_undone(browser: Any, fitted: Recommender) -> None:
    with shown(browser, fitted) as page:
        before = titles(page)
        page.get_by_role("button", name=f"Like {before[1]}", exact=True).click()
        page.locator(".moved").wait_for()
        assert kinds(fitted)[-1] == "like"
        assert titles(page) == [one.item.title for one in fitted.recommend("ann").items]
        page.get_by_role("button", name=f"Undo: You liked {before[1]}").click()
        page.locator(".lately").wait_for(state="detached")
        page.locator(CARDS).nth(len(before) - 1).wait_for()
        assert "like" not in kinds(fitted)
        assert sorted(titles(page)) == sorted(before)


def test_what_is_hidden_leaves_and_what_moved_says_so(browser: Any, fitted: Recommender) -> None:
    with shown(browser, fitted) as page:
        before = titles(page)
        page.get_by_role("button", name=f"Hide {before[0]}", exact=True).click()
        page.locator(".moved", has_text=f"left the list: {before[0]}").wait_for()
        assert before[0] not in titles(page)
        assert page.locator(FIRST).locator(".move").inner_text().startswith("up ")


def test_stars_and_comments_are_kept_with_the_list_they_answer(browser: Any, fitted: Recommender) -> None:
    with shown(browser, fitted) as page:
        card = page.locator(FIRST)
        title = titles(page)[0]
        card.get_by_role("button", name=f"Comment on {title}").click()
        card.get_by_role("textbox").fill("too <b>heavy</b> for me")
        card.get_by_role("button", name="Send").click()
        page.locator(".lately", has_text=f"You commented on {title}").wait_for()
        page.locator(".moved").wait_for()
        settled(page)
        second = titles(page)[1]
        page.get_by_role("radio", name="1 star").nth(1).focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        page.locator(".lately", has_text=f"You rated {second}: 4 of 5").wait_for()
        events = fitted.history("ann").events
        assert [event.value for event in events if event.kind == "rating"] == [4.0]
        assert [event.text for event in events if event.kind == "comment"] == ["too <b>heavy</b> for me"]


def test_options_narrow_the_list(browser: Any, fitted: Recommender) -> None:
    with shown(browser, fitted, "bob") as page:
        page.get_by_text("Options", exact=True).click()
        page.get_by_label("Filter: attribute").fill("room")
        page.get_by_label("Filter: value").fill("Garden")
        page.get_by_role("button", name="Add filter").click()
        page.get_by_role("button", name="Remove room: garden").wait_for()
        page.locator(CARDS).nth(4).wait_for(state="detached")
        with page.expect_response("**/v1/recommend"):
            page.get_by_label("ask the language model").uncheck()
        settled(page)
        page.locator(".bar-words", has_text="language model").first.wait_for(state="detached")
        with page.expect_request("**/v1/recommend") as sent:
            page.get_by_label("Situation: name").fill("season")
            page.get_by_label("Situation: value").fill("winter")
            page.get_by_label("Situation: value").press("Enter")
        asked = sent.value.post_data_json
        assert asked["context"] == {"season": "winter"}
        assert asked["where"] == {"room": ["garden"]}
        assert asked["llm"] is False
        settled(page)


def test_a_fallback_is_told(browser: Any, fitted: Recommender) -> None:
    failing = {"encoder": WordEncoder(), "language_model": FailingLanguageModel()}
    with Recommender.open(fitted.workspace.root, **failing) as rec, shown(browser, rec) as page:
        assert "did not rank" in page.locator(".notice").inner_text()
        assert "out of memory" in page.locator(".notice").inner_text()


def test_a_problem_says_what_to_do_and_is_tried_again(browser: Any, tmp_path: Path) -> None:
    with open_shop(tmp_path / "unfitted") as rec, served(rec) as address, tab(browser, f"{address}/#user=ann") as page:
        problem = page.locator("#list-notices .problem")
        problem.wait_for()
        assert "llmrec fit" in problem.inner_text()
        rec.fit()
        problem.get_by_role("button", name="Try again").click()
        settled(page)


def test_a_conversation_acts_and_can_be_corrected(browser: Any, fitted: Recommender) -> None:
    with shown(browser, fitted) as page:
        say(page, "recommend something")
        replied = page.locator(".theirs").last
        assert replied.locator(".small-item").count() > 0
        replied.locator(".small-item").first.click()
        page.wait_for_selector("dialog .reason")
        page.keyboard.press("Escape")
        say(page, "only kitchen")
        chip = page.locator(".constraints .chip").first
        chip.get_by_role("button").click()
        chip.wait_for(state="detached")
        page.reload()
        page.get_by_text("recommend something").first.wait_for()
        page.get_by_text("Past conversations").click()
        page.get_by_role("button", name="Delete the conversation").click()
        page.get_by_text("none yet").wait_for()
        assert page.locator(".bubble").count() == 0


def test_what_is_known_is_corrected_and_counts_no_more(browser: Any, fitted: Recommender) -> None:
    fitted.feedback(Event("ann", "gloves", "hide", event_id="e-hide"))
    with shown(browser, fitted) as page:
        assert "Garden gloves" not in titles(page)
        page.get_by_role("tab", name="About you").click()
        page.get_by_role("button", name="Remove: you hid Garden gloves").click()
        page.locator(CARDS).get_by_role("heading", name="Garden gloves").wait_for()
        assert "hide" not in kinds(fitted)
        assert page.get_by_role("button", name="Remove: you hid Garden gloves").count() == 0


def test_the_latest_events_are_shown_when_wanted_and_stay_so(browser: Any, fitted: Recommender) -> None:
    with shown(browser, fitted) as page:
        page.get_by_role("tab", name="About you").click()
        latest = page.locator("#profile details")
        assert latest.get_attribute("open") is None
        latest.get_by_text("Your latest events").click()
        with page.expect_response("**/v1/users/ann"):
            page.get_by_role("button", name=f"Like {titles(page)[0]}", exact=True).click()
        latest.get_by_text("Like ", exact=False).first.wait_for()
        assert latest.get_attribute("open") is not None


def test_what_was_learnt_is_shown(browser: Any, fitted: Recommender) -> None:
    with shown(browser, fitted) as page:
        page.get_by_role("tab", name="Learning").click()
        page.get_by_text("12 events").wait_for()
        assert "rank/0001" in page.locator("#learning").inner_text()


def test_a_wrong_key_is_told_and_the_right_one_opens(browser: Any, fitted: Recommender) -> None:
    key = Keys(fitted.workspace.keys_file).add("page")
    with served(fitted) as address, tab(browser, f"{address}/#user=ann") as page:
        page.get_by_label("Key", exact=True).fill("llmrec_wrong")
        page.get_by_role("button", name="Continue").click()
        page.get_by_text("That key was not accepted").wait_for()
        page.get_by_label("Key", exact=True).fill(key)
        page.get_by_role("button", name="Continue").click()
        settled(page)
        assert page.evaluate("Object.values(localStorage).join()") == ""


def test_the_keyboard_alone_is_enough(browser: Any, fitted: Recommender) -> None:
    def tab_to(what: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("(what) => document.activeElement.matches(what)", what):
                assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
                return
        raise AssertionError(f"Tab never comes to {what}")

    with served(fitted) as address, tab(browser, address) as page:
        page.get_by_role("button", name="bob").wait_for()
        page.keyboard.type("an")
        page.get_by_role("option", name="ann").wait_for()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        settled(page)
        tab_to('[data-act="why"]')
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog .reason")
        page.keyboard.press("Escape")
        page.keyboard.press("Shift+Tab")
        tab_to('[data-act="dislike"]')
        page.keyboard.press("Space")
        page.locator(".lately", has_text="You disliked").wait_for()
        settled(page)
        assert page.evaluate("document.activeElement !== document.body")
        tab_to("[role=tab]")
        page.keyboard.press("ArrowRight")
        page.get_by_role("heading", name="What is known about you").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_reaches_over_a_narrow_screen(browser: Any, fitted: Recommender, scheme: str) -> None:
    with shown(browser, fitted, viewport=NARROW, color_scheme=scheme) as page:
        say(page, "recommend something")
        page.get_by_text("Options", exact=True).click()
        page.locator(f'{FIRST} [data-act="comment"]').click()
        for name in ("About you", "Learning", "Conversation"):
            page.get_by_role("tab", name=name).click()
            assert page.evaluate("document.documentElement.scrollWidth") == 320
        page.locator(f'{FIRST} [data-act="why"]').click()
        page.wait_for_selector("dialog .reason")
        assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 320
        small = page.evaluate(
            "[...document.querySelectorAll('button, summary, .stars label, .jump a')].filter((one) => one.offsetWidth"
            " && Math.min(one.offsetWidth, one.offsetHeight) < 24).map((one) => one.outerHTML)"
        )
        assert small == []


def test_the_theme_follows_the_system_until_chosen_and_is_kept(browser: Any, fitted: Recommender) -> None:
    def brightness() -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(",")))

    with shown(browser, fitted, color_scheme="dark") as page:
        assert brightness() < 150
        page.get_by_role("button", name="Theme: system").click()
        assert brightness() > 600
        page.reload()
        settled(page)
        assert brightness() > 600


def hostile(number: int) -> str:
    shapes = (
        "<script>window.pwned = {0}</script>",
        '<img src=x onerror="window.pwned={0}">',
        '"><svg onload=window.pwned={0}>',
        "javascript:window.pwned={0}//",
        "</li><iframe srcdoc='<script>parent.pwned={0}</script>'>",
    )
    return shapes[number % len(shapes)].format(number) + f" no {number}"


def test_a_hundred_titles_and_comments_with_scripts_execute_nothing(browser: Any, tmp_path: Path) -> None:
    with open_shop(tmp_path / "hostile") as rec:
        rec.add_users([User("eve", {"about <b>": hostile(3)})])
        rec.add_items(Item(f"h{n}", hostile(n), attributes={"room": hostile(n + 1)}) for n in range(100))
        rec.add_events(Event("eve", None, "comment", text=hostile(n)) for n in range(100))
        rec.add_events(Event("eve", f"h{n}", "purchase") for n in range(40, 45))
        rec.fit()
        with shown(browser, rec, "eve") as page:
            page.get_by_text("Options", exact=True).click()
            page.get_by_label("How many").fill("100")
            page.get_by_label("How many").press("Enter")
            page.locator(CARDS).nth(40).wait_for()
            assert any("<script>" in title for title in titles(page))
            page.locator(f'{FIRST} [data-act="why"]').click()
            page.wait_for_selector("dialog .reason")
            page.keyboard.press("Escape")
            page.get_by_role("tab", name="About you").click()
            page.get_by_text("You said and did").wait_for()
            page.get_by_role("tab", name="Conversation").click()
            say(page, hostile(1))
            say(page, "recommend something")
            page.get_by_role("combobox", name="Who are you?").fill(hostile(2))
            page.get_by_text("begin as somebody new").wait_for()
            assert page.evaluate("window.pwned") is None
            assert page.locator("iframe, main img, aside img, main script").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, fitted: Recommender, scheme: str) -> None:
    axe = module_or_skip("axe_playwright_python.sync_playwright").Axe()

    def serious() -> list[str]:
        found = axe.run(page).response["violations"]
        return [
            f"{one['id']}: {[node['html'] for node in one['nodes']]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

    with shown(browser, fitted, color_scheme=scheme) as page:
        page.locator(f'{FIRST} [data-act="like"]').click()
        page.locator(".moved").wait_for()
        settled(page)
        say(page, "recommend something")
        page.get_by_text("Options", exact=True).click()
        assert serious() == []
        for name in ("About you", "Learning"):
            page.get_by_role("tab", name=name).click()
            page.wait_for_timeout(300)
            assert serious() == []
        page.locator(f'{FIRST} [data-act="why"]').click()
        page.wait_for_selector("dialog .reason")
        assert serious() == []

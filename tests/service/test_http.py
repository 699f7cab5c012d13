"""The service over real sockets: answers as agreed, refusals as problems, nothing leaked, nothing lost."""

import json
import logging
import socket
import threading
import time
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from llmrec import Event, Item, Recommender
from llmrec.config import ServiceSettings
from llmrec.errors import ReleaseError
from llmrec.service.web import connections
from llmrec.service.web.keys import Keys
from llmrec.testing import FailingLanguageModel, OverlapLanguageModel
from tests.service.serving import client

ANN = {"user_id": "ann"}


def asked(http: httpx2.Client, path: str, body: dict[str, Any], status: int = 200, **options: Any) -> Any:
    answer = http.post(path, json=body, **options)
    assert answer.status_code == status, answer.text
    return answer.json()


def said(http: httpx2.Client, message: str, **more: Any) -> list[tuple[str, Any]]:
    """The events of a turn."""
    with http.stream("POST", "/v1/chat", json={"user_id": "ann", "message": message, **more}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        blocks = "".join(answer.iter_text()).strip().split("\n\n")
    pairs = [block.split("\n") for block in blocks]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in pairs]


def test_recommend_answers_with_the_body_of_the_command(http: httpx2.Client, fitted: Recommender) -> None:
    got = asked(http, "/v1/recommend", {**ANN, "n": 2})
    own = fitted.recommend("ann", 2).to_dict()
    assert got["items"] == own["items"]
    assert set(got) == set(own)
    assert got["release"] == "rank/0001"


def test_recommend_takes_every_option(http: httpx2.Client) -> None:
    body = {"n": 5, "where": {"room": "kitchen"}, "context": {"season": "winter"}, "llm": False, "exclude": ["pan"]}
    got = asked(http, "/v1/recommend", {**ANN, **body, "filter_seen": False, "diversity": 0.2})
    assert {one["item_id"] for one in got["items"]} == {"pot", "knife", "board"}
    assert all("llm" not in one["parts"] for one in got["items"])
    like = asked(http, "/v1/recommend", {**ANN, "n": 1, "like": "rake"})
    assert len(like["items"]) == 1


def test_rank_and_explain_answer(http: httpx2.Client) -> None:
    ranked = asked(http, "/v1/rank", {"candidates": ["pan", "gloves"], "history": ["rake", "hose"]})
    assert [one["rank"] for one in ranked["items"]] == [1, 2]
    why = asked(http, "/v1/explain", {**ANN, "item_id": "gloves"})
    assert why["item_id"] == "gloves"
    assert why["text"]
    assert {"kind", "item_id", "strength", "text"} <= set(why["evidence"][0])


def test_feedback_acts_on_the_next_list_and_is_kept_once(http: httpx2.Client, fitted: Recommender) -> None:
    first = asked(http, "/v1/recommend", {**ANN, "n": 1})["items"][0]["item_id"]
    event = {**ANN, "item_id": first, "kind": "hide", "event_id": "e-1"}
    kept = asked(http, "/v1/feedback", event)
    assert asked(http, "/v1/feedback", event) == kept
    assert first not in {one["item_id"] for one in asked(http, "/v1/recommend", ANN)["items"]}
    assert sum(one.event_id == "e-1" for one in fitted.store.events("ann")) == 1
    conflict = asked(http, "/v1/feedback", {**event, "item_id": "pan"}, 409)
    assert conflict["hint"]


def test_several_events_are_all_kept_or_none(http: httpx2.Client, fitted: Recommender) -> None:
    good = {**ANN, "item_id": "pan", "kind": "view"}
    before = fitted.store.last_sequence()
    problem = asked(http, "/v1/feedback", {"events": [good, {**good, "item_id": "nothing"}]}, 404)
    assert "nothing" in problem["detail"]
    assert fitted.store.last_sequence() == before
    assert len(asked(http, "/v1/feedback", {"events": [good, {**good, "item_id": "pot"}]})["events"]) == 2


def test_feedback_is_taken_while_the_line_is_full(fitted: Recommender) -> None:
    free, entered = threading.Event(), threading.Event()
    real = fitted.recommend

    def slow(*given: Any, **options: Any) -> Any:
        entered.set()
        assert free.wait(20)
        return real(*given, **options)

    fitted.recommend = slow  # type: ignore[method-assign]
    with client(fitted, settings=ServiceSettings(at_once=1, queue=0)) as http:
        waiting = threading.Thread(target=lambda: asked(http, "/v1/recommend", ANN))
        waiting.start()
        assert entered.wait(20)
        refused = http.post("/v1/recommend", json=ANN)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["content-type"] == "application/problem+json"
        asked(http, "/v1/feedback", {**ANN, "item_id": "pan"})
        streamed = http.post("/v1/chat", json={**ANN, "message": "hello"})
        assert streamed.status_code == 503
        free.set()
        waiting.join()
        asked(http, "/v1/recommend", ANN)


def test_a_model_that_fails_leaves_the_retrievers_order(fitted: Recommender) -> None:
    with (
        Recommender.open(
            fitted.workspace.root, encoder=fitted._parts.text_encoder(), language_model=FailingLanguageModel()
        ) as rec,
        client(rec) as http,
    ):
        got = asked(http, "/v1/recommend", ANN)
        assert "out of memory" in got["fallback"]
        assert got["items"]
        ranked = asked(http, "/v1/rank", {"candidates": ["pan", "gloves"], **ANN})
        assert "out of memory" in ranked["fallback"]
        assert "out of memory" in asked(http, "/v1/explain", {**ANN, "item_id": "gloves"})["fallback"]
        assert "llmrec_fallbacks_total 2.0" in http.get("/metrics").text


def test_an_unfitted_workspace_is_alive_but_not_ready(tmp_path: Any) -> None:
    from tests.conftest import open_shop

    with open_shop(tmp_path / "new") as rec, client(rec) as http:
        assert http.get("/health/live").status_code == 200
        ready = http.get("/health/ready")
        assert ready.status_code == 503
        assert "llmrec fit" in ready.json()["hint"]
        assert asked(http, "/v1/recommend", ANN, 503)["hint"]


def test_a_turn_streams_its_words_and_ends_with_the_whole_reply(http: httpx2.Client, fitted: Recommender) -> None:
    events = said(http, "only kitchen things please")
    names = [name for name, _ in events if name != "working"]
    assert names[0] == "start"
    assert names[-1] == "reply"
    reply = events[-1][1]
    assert "".join(data["text"] for name, data in events if name == "delta") == reply["text"]
    assert reply["conversation_id"] == events[0][1]["conversation_id"]
    assert reply["constraints"] == ["only kitchen"]
    again = asked(
        http, "/v1/chat", {**ANN, "message": "more", "conversation_id": reply["conversation_id"], "stream": False}
    )
    assert again["constraints"] == ["only kitchen"]


def test_somebody_elses_conversation_is_not_there(http: httpx2.Client) -> None:
    talk = said(http, "only kitchen things")[0][1]["conversation_id"]
    body = {"user_id": "bob", "message": "hello", "conversation_id": talk}
    assert asked(http, "/v1/chat", body, 404)["status"] == 404
    assert http.get(f"/v1/users/bob/conversations/{talk}").status_code == 404
    assert http.get(f"/v1/users/bob/profile?conversation_id={talk}").status_code == 404
    assert http.delete(f"/v1/users/bob/constraints?conversation_id={talk}&text=x").status_code == 404
    assert http.delete(f"/v1/users/bob/conversations/{talk}").json() == {"deleted": 0}
    assert len(http.get(f"/v1/users/ann/conversations/{talk}").json()["turns"]) == 1


def test_what_is_known_can_be_corrected(http: httpx2.Client) -> None:
    asked(http, "/v1/feedback", {**ANN, "item_id": "pan", "kind": "hide", "event_id": "hid"})
    talk = said(http, "only garden things")[0][1]["conversation_id"]
    lines = http.get(f"/v1/users/ann/profile?conversation_id={talk}").json()["lines"]
    assert {"text": "you hid Frying pan", "kind": "event", "event_ids": ["hid"], "words": None} in lines
    assert {
        "text": "you asked for: only garden",
        "kind": "constraint",
        "event_ids": [],
        "words": "only garden",
    } in lines
    assert http.delete("/v1/users/ann/events/hid").json() == {"deleted": 1}
    assert http.delete("/v1/users/ann/events/hid").status_code == 404
    assert http.delete(f"/v1/users/ann/constraints?conversation_id={talk}&text=only%20garden").json() == {
        "constraints": []
    }
    assert http.delete(f"/v1/users/ann/constraints?conversation_id={talk}&text=only%20garden").status_code == 422
    left = http.get(f"/v1/users/ann/profile?conversation_id={talk}").json()["lines"]
    assert not [line for line in left if line["kind"] in ("constraint", "event")]


def test_conversations_are_listed_and_deleted(http: httpx2.Client) -> None:
    first = said(http, "hello")[0][1]["conversation_id"]
    second = said(http, "recommend something")[0][1]["conversation_id"]
    listed = http.get("/v1/users/ann/conversations").json()["conversations"]
    assert [one["conversation_id"] for one in listed] == [second, first]
    assert http.delete(f"/v1/users/ann/conversations/{first}").json() == {"deleted": 1}
    assert http.delete("/v1/users/ann/conversations").json() == {"deleted": 1}


def test_users_and_items_are_found(http: httpx2.Client) -> None:
    assert [one["user_id"] for one in http.get("/v1/users?query=a").json()["users"]] == ["ann"]
    assert http.get("/v1/users?query=").json()["total"] == 4
    assert http.get("/v1/users?query=%25").json()["total"] == 0
    assert http.get("/v1/users/nobody").json()["known"] == 0
    newest = http.get("/v1/users/ann").json()["history"][0]
    assert (newest["item_id"], newest["title"], newest["kind"]) == ("hose", "Garden hose", "purchase")
    found = http.get("/v1/items?query=garden&limit=3").json()
    assert found["total"] == 3
    assert found["items"][0]["title"].startswith("Garden")
    assert http.get("/v1/items?query=a%20knife%20of%20the%20kitchen&limit=1").json()["items"][0]["item_id"] == "knife"
    assert http.get("/v1/items/rake").json()["attributes"]["room"] == "garden"
    assert http.get("/v1/items/none").status_code == 404


def test_ids_may_hold_slashes_and_other_signs(http: httpx2.Client, fitted: Recommender) -> None:
    user, item = "https://shop.example/u?id=1&x=ä/é", "a/b c%2F"
    quoted = quote(user, safe="")
    fitted.add_items([Item(item, "Odd thing")])
    asked(http, "/v1/feedback", {"user_id": user, "item_id": item, "kind": "hide", "event_id": "e/1"})
    assert http.get(f"/v1/items/{quote(item, safe='')}").json()["item_id"] == item
    assert http.get(f"/v1/users/{quoted}").json()["known"] == 1
    assert http.get(f"/v1/users/{quoted}/profile").json()["lines"][0]["event_ids"] == ["e/1"]
    assert http.get(f"/v1/users/{quoted}/conversations").json() == {"conversations": []}
    assert http.delete(f"/v1/users/{quoted}/events/e%2F1").json() == {"deleted": 1}
    assert http.get(f"/v1/users/{quoted}").json()["known"] == 0
    assert http.get("/v1/users/ann%2Fprofile").json()["user_id"] == "ann/profile"
    assert http.get("/v1/users/ann%2Fconversations").json()["known"] == 0


def test_thumbs_are_kept_with_the_turn(http: httpx2.Client) -> None:
    reply = said(http, "why gloves?")[-1][1]
    place = f"/v1/chat/{reply['conversation_id']}/turns/{reply['turn']}/thumb"
    assert asked(http, place, {**ANN, "up": True}) == {"turn": reply["turn"], "up": True}
    kept = http.get(f"/v1/users/ann/conversations/{reply['conversation_id']}").json()["turns"]
    assert [(one["turn"], one["up"]) for one in kept] == [(reply["turn"], True)]
    asked(http, place, {"user_id": "bob", "up": False}, 404)
    asked(http, f"/v1/chat/{reply['conversation_id']}/turns/99999/thumb", {**ANN, "up": True}, 422)
    assert asked(http, place, {**ANN, "up": None})["up"] is None


def test_learning_tells_what_waits(http: httpx2.Client) -> None:
    before = http.get("/v1/learning").json()
    assert before["live"] == "rank/0001"
    assert before["waiting"] == 0
    asked(http, "/v1/feedback", {**ANN, "item_id": "pan"})
    assert http.get("/v1/learning").json()["waiting"] == 1
    assert [one["live"] for one in http.get("/v1/releases").json()["releases"]] == [True]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/recommend", {"user_id": ""}, 422),
        ("/v1/recommend", {**ANN, "n": 0}, 422),
        ("/v1/recommend", {**ANN, "n": 10**30}, 422),
        ("/v1/recommend", {**ANN, "nonsense": 1}, 422),
        ("/v1/recommend", {**ANN, "where": {"colour": "red"}}, 422),
        ("/v1/recommend", {**ANN, "diversity": 2}, 422),
        ("/v1/recommend", {**ANN, "release": "rank/0099"}, 404),
        ("/v1/recommend", {**ANN, "release": "../../etc"}, 404),
        ("/v1/rank", {"candidates": [f"i{place}" for place in range(10_000)], "history": []}, 422),
        ("/v1/rank", {"candidates": ["rake", "rake"], "history": []}, 422),
        ("/v1/rank", {"candidates": ["rake"]}, 422),
        ("/v1/explain", {**ANN, "item_id": "none"}, 404),
        ("/v1/feedback", {**ANN}, 422),
        ("/v1/feedback", {**ANN, "item_id": "pan", "kind": "rating"}, 422),
        ("/v1/chat", {**ANN, "message": 7}, 422),
        ("/v1/chat", {**ANN, "message": "x" * 200_000}, 422),
    ],
)
def test_what_cannot_be_is_a_problem_that_names_the_next_step(
    http: httpx2.Client, path: str, body: dict[str, Any], status: int
) -> None:
    answer = http.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["hint"]
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_what_is_no_json_is_refused(http: httpx2.Client) -> None:
    plain = http.post("/v1/recommend", content=b'{"user_id": "ann"}', headers={"content-type": "text/plain"})
    assert plain.status_code == 415
    broken = http.post("/v1/recommend", content=b"{", headers={"content-type": "application/json"})
    assert broken.status_code == 422
    binary = http.post("/v1/recommend", content=b"\xff\x00\xfe", headers={"content-type": "application/json"})
    assert binary.status_code in (400, 422)
    nan = http.post(
        "/v1/recommend", content=b'{"user_id":"ann","diversity":NaN}', headers={"content-type": "application/json"}
    )
    assert nan.status_code == 422
    assert nan.json()["hint"]


def test_a_large_body_is_refused_with_and_without_its_length(http: httpx2.Client) -> None:
    large = b'{"user_id": "' + b"a" * 2_000_000 + b'"}'
    headers = {"content-type": "application/json"}
    assert http.post("/v1/recommend", content=large, headers=headers).status_code == 413
    chunks = (large[place : place + 65_536] for place in range(0, len(large), 65_536))
    assert http.post("/v1/recommend", content=chunks, headers=headers).status_code == 413


def test_a_hostile_body_is_answered_shortly(http: httpx2.Client) -> None:
    for body in (
        {**ANN, "context": {str(place): None for place in range(60_000)}},
        {str(place): 1 for place in range(60_000)},
    ):
        answer = http.post("/v1/recommend", json=body)
        assert answer.status_code == 422
        assert len(answer.content) < 10_000


def test_who_invents_methods_makes_no_metrics(http: httpx2.Client) -> None:
    for place in range(5):
        http.request(f"X{place}", "/v1/recommend")
    text = http.get("/metrics").text
    assert 'method="other"' in text
    assert "X1" not in text


def test_a_client_who_has_gone_is_not_worked_for(fitted: Recommender) -> None:
    free, asked_for = threading.Event(), []
    real = fitted.recommend

    def slow(user_id: str, *given: Any, **options: Any) -> Any:
        asked_for.append(user_id)
        assert free.wait(20)
        return real(user_id, *given, **options)

    fitted.recommend = slow  # type: ignore[assignment, method-assign]
    with client(fitted, settings=ServiceSettings(at_once=1, queue=5)) as http:
        first = threading.Thread(target=lambda: asked(http, "/v1/recommend", ANN))
        first.start()
        while not asked_for:
            time.sleep(0.01)
        with pytest.raises(httpx2.TimeoutException):
            http.post("/v1/recommend", json={"user_id": "gone"}, timeout=0.3)
        time.sleep(0.3)
        free.set()
        first.join()
        asked(http, "/v1/recommend", {"user_id": "bob"})
    assert asked_for == ["ann", "bob"]


def test_turns_of_one_conversation_leave_room_for_others(fitted: Recommender) -> None:
    with client(fitted, settings=ServiceSettings(at_once=2, queue=20)) as http:
        talk = said(http, "hello")[0][1]["conversation_id"]
        free, entered = threading.Event(), threading.Event()
        real = fitted.store.turns.keep

        def slow(*given: Any, **options: Any) -> Any:
            entered.set()
            assert free.wait(20)
            return real(*given, **options)

        fitted.store.turns.keep = slow  # type: ignore[method-assign]
        body = {**ANN, "message": "hello", "conversation_id": talk, "stream": False}
        turns = [threading.Thread(target=lambda: asked(http, "/v1/chat", body)) for _ in range(3)]
        for turn in turns:
            turn.start()
        assert entered.wait(20)
        asked(http, "/v1/recommend", {"user_id": "bob"})
        free.set()
        for turn in turns:
            turn.join()
        assert len(http.get(f"/v1/users/ann/conversations/{talk}").json()["turns"]) == 4


def test_a_damaged_file_of_keys_lets_nobody_in_and_tells_no_path(fitted: Recommender) -> None:
    with client(fitted) as http:
        fitted.workspace.keys_file.write_text("{")
        answer = http.get("/v1/releases", headers={"Authorization": "Bearer x"})
        assert answer.status_code == 503
        assert str(fitted.workspace.root) not in answer.text
        assert http.get("/v1/releases").status_code == 401
        assert http.get("/health/live").status_code == 200


def test_a_damaged_release_is_the_servers_trouble(fitted: Recommender) -> None:
    damaged = fitted.fit()
    (damaged.directory / "fusion.json").write_text("{}")
    fitted.releases.promote("rank/0001")
    with client(fitted) as http:
        asked(http, "/v1/recommend", ANN)
        problem = asked(http, "/v1/recommend", {**ANN, "release": damaged.version}, 503)
        assert "fusion" not in problem["detail"]
        with pytest.raises(ReleaseError, match="was changed"):
            fitted.releases.promote(damaged.version)
        fitted.store.aliases.move("rank", damaged.version)  # as if it was damaged later
        assert asked(http, "/v1/recommend", ANN)["release"] == "rank/0001"
        assert http.get("/v1/learning").json()["live"] == "rank/0001"


def test_the_documentation_comes_from_here(http: httpx2.Client) -> None:
    page = http.get("/docs")
    assert "http" not in page.text.replace("http-equiv", "")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert http.get("/docs/files/swagger-ui-bundle.js").status_code == 200
    schemes = http.get("/openapi.json").json()["components"]["securitySchemes"]
    assert schemes["HTTPBearer"]["scheme"] == "bearer"
    assert http.head("/").status_code == 200


def test_a_slow_client_is_sent_away(fitted: Recommender) -> None:
    with client(fitted, settings=ServiceSettings(body_seconds=0.3)) as http:
        host, port = str(http.base_url.host), http.base_url.port
        with socket.create_connection((host, port), timeout=10) as slow:
            head = (
                "POST /v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
            )
            slow.sendall(head.encode() + b"{")
            answered = slow.recv(4096)
        assert b" 408 " in answered.splitlines()[0]
        asked(http, "/v1/recommend", ANN)


@pytest.mark.parametrize("said", [b"", b"GET /health/live HTT", b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /he"])
def test_who_never_ends_the_head_of_a_request_is_hung_up_on(
    http: httpx2.Client, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with socket.create_connection((str(http.base_url.host), http.base_url.port), timeout=5) as silent:
        silent.sendall(said)
        while silent.recv(4096):
            pass


def test_a_key_is_needed_once_there_is_one(fitted: Recommender) -> None:
    keys = Keys(fitted.workspace.keys_file)
    with client(fitted) as http:
        assert http.get("/v1/session").json()["key_required"] is False
        asked(http, "/v1/recommend", ANN)
        key = keys.add("shop-web")
        refused = http.post("/v1/recommend", json=ANN)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        wrong = {"Authorization": "Bearer llmrec_wrong"}
        asked(http, "/v1/recommend", ANN, 401, headers=wrong)
        assert http.get("/metrics", headers=wrong).status_code == 401
        assert http.get("/v1/session", headers=wrong).json()["key_accepted"] is False
        right = {"Authorization": f"Bearer {key}"}
        assert http.get("/v1/session", headers=right).json()["key_accepted"] is True
        asked(http, "/v1/recommend", ANN, headers=right)
        assert http.get("/health/ready").status_code == 200
        keys.remove("shop-web")
    assert key not in fitted.workspace.keys_file.read_text()


def test_where_other_machines_reach_it_a_key_is_always_needed(fitted: Recommender) -> None:
    with client(fitted, demands_key=True) as http:
        asked(http, "/v1/recommend", ANN, 401)


def test_who_asks_too_often_is_told_when_to_ask_again(fitted: Recommender) -> None:
    with client(fitted, settings=ServiceSettings(requests_a_minute=3)) as http:
        codes = [http.get("/v1/items/rake").status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
        assert int(http.get("/v1/items/rake").headers["retry-after"]) >= 1
        assert http.get("/health/live").status_code == 200


def test_another_sites_page_is_refused(fitted: Recommender) -> None:
    with client(fitted, hosts=frozenset({"127.0.0.1"})) as http:
        asked(http, "/v1/recommend", ANN, 403, headers={"Origin": "https://elsewhere.example"})
        asked(http, "/v1/recommend", ANN, 403, headers={"Origin": "http://127.0.0.1:1"})
        asked(http, "/v1/recommend", ANN, 421, headers={"Host": "elsewhere.example"})
        asked(http, "/v1/recommend", ANN, headers={"Origin": str(http.base_url).rstrip("/")})


def test_no_path_leads_out_of_the_page(http: httpx2.Client) -> None:
    for path in (
        "/page/../cli.py",
        "/page/%2e%2e/cli.py",
        "/page/..%2fcli.py",
        "/page//etc/passwd",
        "/page/....//cli.py",
    ):
        host, port = str(http.base_url.host), http.base_url.port
        with socket.create_connection((host, port), timeout=10) as raw:
            raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            assert b" 404 " in raw.recv(4096).splitlines()[0], path


def test_a_bug_says_nothing_of_itself_and_is_logged_once(fitted: Recommender, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret is 1234")

    fitted.recommend = broken  # type: ignore[assignment, method-assign]
    with client(fitted) as http:
        answer = http.post("/v1/recommend", json=ANN)
    assert answer.status_code == 500
    assert "1234" not in answer.text
    assert sum("failed" in record.getMessage() for record in caplog.records if record.levelno == logging.ERROR) == 1


def test_the_log_has_neither_ids_nor_words(http: httpx2.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="llmrec.access")
    said(http, "my secret wish")
    http.get("/v1/users/secret-user")
    lines = [record.getMessage() for record in caplog.records if record.name == "llmrec.access"]
    assert [json.loads(line)["route"] for line in lines] == ["/v1/chat", "/v1/users/{user_id}"]
    assert not any("secret" in line for line in lines)


def test_a_promotion_amid_requests_fails_none(http: httpx2.Client, fitted: Recommender) -> None:
    fitted.fit()
    seen: set[str] = set()
    failed: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answer = http.post("/v1/recommend", json=ANN)
            if answer.status_code == 200:
                seen.add(answer.json()["release"])
            else:
                failed.append(answer.text)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in ("rank/0001", "rank/0002", "rank/0001"):
        time.sleep(0.3)
        fitted.releases.promote(version)
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert seen == {"rank/0001", "rank/0002"}


def test_a_release_can_be_named(http: httpx2.Client, fitted: Recommender) -> None:
    fitted.fit()
    assert asked(http, "/v1/recommend", ANN)["release"] == "rank/0002"
    assert asked(http, "/v1/recommend", {**ANN, "release": "rank/0001"})["release"] == "rank/0001"


def test_titles_of_items_are_data(http: httpx2.Client, fitted: Recommender) -> None:
    fitted.add_items([Item("bad", "<script>alert(1)</script>")])
    fitted.feedback(Event("ann", "bad", "view"))
    page = http.get("/v1/items/bad")
    assert page.headers["content-type"] == "application/json"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "script-src 'self'" in page.headers["content-security-policy"]


def test_the_shared_model_answers_as_its_own(fitted: Recommender) -> None:
    alone = [one.to_dict() for one in fitted.recommend("ann").items]
    fitted.share()
    with client(fitted) as http:
        assert asked(http, "/v1/recommend", ANN)["items"] == alone
    assert isinstance(fitted._parts.ranker().model.model, OverlapLanguageModel)  # type: ignore[attr-defined]

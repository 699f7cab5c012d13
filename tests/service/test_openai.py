"""The official client of OpenAI's API talks to the service, plain and streaming."""

from collections.abc import Iterator

import openai
import pytest

from llmrec import Recommender
from tests.service.serving import served


@pytest.fixture
def api(fitted: Recommender) -> Iterator[openai.OpenAI]:
    with served(fitted) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as made:
        yield made


def user(words: str) -> dict[str, str]:
    return {"role": "user", "content": words}


def test_models_are_the_live_release_and_every_other(api: openai.OpenAI, fitted: Recommender) -> None:
    fitted.fit()
    assert [one.id for one in api.models.list()] == ["llmrec", "llmrec@rank/0001", "llmrec@rank/0002"]


def test_a_completion_is_a_turn_of_the_users_conversation(api: openai.OpenAI) -> None:
    said = [user("only kitchen things")]
    first = api.chat.completions.create(model="llmrec", messages=said, user="ann")  # type: ignore[arg-type]
    assert first.choices[0].finish_reason == "stop"
    words = first.choices[0].message.content
    assert words
    assert "only kitchen" in words
    said += [{"role": "assistant", "content": words}, user("more")]
    second = api.chat.completions.create(model="llmrec", messages=said, user="ann")  # type: ignore[arg-type]
    extra = second.model_extra or {}
    assert extra["llmrec"]["constraints"] == ["only kitchen"]
    assert extra["llmrec"]["conversation_id"] == (first.model_extra or {})["llmrec"]["conversation_id"]


def test_a_stream_gives_the_same_words(api: openai.OpenAI) -> None:
    messages = [user("recommend something")]
    whole = api.chat.completions.create(model="llmrec", messages=messages, user="ann")  # type: ignore[arg-type]
    stream = api.chat.completions.create(model="llmrec", messages=messages, user="ann", stream=True)  # type: ignore[arg-type]
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_strangers_with_the_same_words_have_conversations_of_their_own(api: openai.OpenAI) -> None:
    given = [user("only kitchen things")]
    answers = [api.chat.completions.create(model="llmrec", messages=given) for _ in range(2)]  # type: ignore[arg-type]
    one, other = ((answer.model_extra or {})["llmrec"] for answer in answers)
    assert one["user_id"] != other["user_id"]
    assert one["conversation_id"] != other["conversation_id"]


def test_strangers_who_said_and_heard_the_same_are_not_mixed(api: openai.OpenAI) -> None:
    words = [user("only kitchen things")]
    replies = [api.chat.completions.create(model="llmrec", messages=words) for _ in range(2)]  # type: ignore[arg-type]
    said = [
        *words,
        {"role": "assistant", "content": replies[0].choices[0].message.content or ""},
        user("hide the first one"),
    ]
    third = api.chat.completions.create(model="llmrec", messages=said)  # type: ignore[arg-type]
    own = (third.model_extra or {})["llmrec"]["conversation_id"]
    assert own not in {(one.model_extra or {})["llmrec"]["conversation_id"] for one in replies}


def test_a_user_named_in_the_metadata_goes_on(api: openai.OpenAI) -> None:
    for name in ("m1", "m2"):
        words = [user("only kitchen things")]
        for said in ("more", "more"):
            given = api.chat.completions.create(model="llmrec", messages=words, metadata={"user_id": name})  # type: ignore[arg-type]
            assert (given.model_extra or {})["llmrec"]["user_id"] == name
            words += [{"role": "assistant", "content": given.choices[0].message.content or ""}, user(said)]


def test_a_release_is_named_in_the_model(api: openai.OpenAI, fitted: Recommender) -> None:
    fitted.fit()
    got = api.chat.completions.create(model="llmrec@rank/0001", messages=[user("recommend something")], user="ann")  # type: ignore[arg-type, list-item]
    assert (got.model_extra or {})["llmrec"]["recommendation"]["release"] == "rank/0001"
    with pytest.raises(openai.NotFoundError, match=r"rank/0009"):
        api.chat.completions.create(model="llmrec@rank/0009", messages=[user("hi")], user="ann")  # type: ignore[arg-type, list-item]
    with pytest.raises(openai.NotFoundError, match="GET /v1/models"):
        api.chat.completions.create(model="gpt-4", messages=[user("hi")], user="ann")  # type: ignore[arg-type, list-item]


def test_parts_of_a_message_are_read_and_a_wrong_end_is_refused(api: openai.OpenAI) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "only kitchen things"}]}]
    got = api.chat.completions.create(model="llmrec", messages=parts, user="ann")  # type: ignore[arg-type]
    assert (got.model_extra or {})["llmrec"]["constraints"] == ["only kitchen"]
    with pytest.raises(openai.UnprocessableEntityError, match="last message"):
        api.chat.completions.create(model="llmrec", messages=[{"role": "assistant", "content": "hi"}], user="ann")


def test_another_users_conversation_is_not_there(api: openai.OpenAI) -> None:
    first = api.chat.completions.create(model="llmrec", messages=[user("only kitchen things")], user="ann")  # type: ignore[arg-type, list-item]
    talk = (first.model_extra or {})["llmrec"]["conversation_id"]
    with pytest.raises(openai.NotFoundError):
        api.chat.completions.create(
            model="llmrec",
            messages=[user("more")],
            user="bob",
            metadata={"conversation_id": talk},  # type: ignore[arg-type, list-item]
        )

"""Users are grouped by what several of them share."""

from llmrec.evaluation import user_groups
from llmrec.records import User


def test_values_that_users_share_are_groups() -> None:
    groups = user_groups([User("ann", {"place": "Oslo", "vip": True}), User("bob", {"place": "Rome"}), User("cem")])
    assert groups == {"place": {"ann": "Oslo", "bob": "Rome"}}


def test_many_numbers_become_ranges_between_quartiles() -> None:
    groups = user_groups([User(f"u{age}", {"age": age}) for age in range(20, 40)])["age"]
    assert sorted(set(groups.values())) == ["20-24", "25-29", "30-34", "35-39"]
    assert groups["u24"] == "20-24"
    assert groups["u25"] == "25-29"


def test_large_numbers_keep_all_their_digits_and_lists_are_words() -> None:
    users = [User(f"u{at}", {"since": 1_700_110_000 + at, "likes": ("pots", "pans")[: 1 + at % 2]}) for at in range(20)]
    groups = user_groups(users)
    assert groups["since"]["u0"] == "1700110000-1700110004"
    assert set(groups["likes"].values()) == {"pots", "pots, pans"}


def test_what_tells_everybody_apart_is_no_group_and_what_is_common_stays() -> None:
    jobs = ["cook"] * 20 + [f"job{number}" for number in range(15)]
    users = [User(f"u{place}", {"job": job, "code": f"x{place}"}) for place, job in enumerate(jobs)]
    groups = user_groups(users)
    assert list(groups) == ["job"]
    assert groups["job"]["u3"] == "cook"


def test_what_all_users_share_is_no_group() -> None:
    assert user_groups([User("ann", {"club": "a"}), User("bob", {"club": "a"})]) == {}

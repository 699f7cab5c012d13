from __future__ import annotations

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from llmrec.data.faults import translated
from llmrec.errors import BusyError, StoreError

SERVER = make_url("postgresql+psycopg://shop:secret@db.example/shop")


class DriverError(Exception):
    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("message", "state", "error", "words"),
    [
        ("could not extend file: No space left on device", None, StoreError, "no space left"),
        ("n'a plus d'espace", "53100", StoreError, "no space left"),
        ("disk I/O error", None, StoreError, "cannot be read or written"),
        ("E/A-Fehler", "58030", StoreError, "cannot be read or written"),
        ("could not obtain lock", "55P03", BusyError, "another process is writing"),
        ("deadlock detected", "40P01", BusyError, "another process is writing"),
        ("cannot execute INSERT in a read-only transaction", "25006", StoreError, "read-only"),
        ("terminating connection due to administrator command", "57P01", StoreError, "cannot be reached"),
        ("too many clients already", "53300", StoreError, "cannot be reached"),
        ("something nobody has seen before", "XX000", StoreError, "the database refused"),
    ],
)
def test_a_driver_s_error_is_told_by_its_words_or_its_code(
    message: str, state: str | None, error: type[Exception], words: str
) -> None:
    found = translated(DBAPIError("INSERT", {}, DriverError(message, state)), SERVER)
    assert type(found) is error
    assert words in str(found)
    assert message in str(found)
    assert found.hint


def test_an_input_output_error_is_told_that_the_disk_may_be_full() -> None:
    assert "free space" in translated(DBAPIError("INSERT", {}, DriverError("disk I/O error")), SERVER).hint


def test_neither_the_password_nor_the_values_of_a_row_are_shown() -> None:
    driver = DriverError('invalid dsn "password=secret"\nDETAIL: Key (user_id)=(ada) already exists.')
    message = str(translated(DBAPIError("INSERT", {}, driver), SERVER))
    assert "shop:***@db.example" in message
    assert "secret" not in message
    assert "ada" not in message

"""A fitted shop behind a server."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from llmrec import Recommender
from tests.conftest import open_shop
from tests.service.serving import client


@pytest.fixture
def fitted(tmp_path: Path) -> Iterator[Recommender]:
    with open_shop(tmp_path / "fitted") as rec:
        rec.fit()
        yield rec


@pytest.fixture
def http(fitted: Recommender) -> Iterator[httpx2.Client]:
    with client(fitted) as made:
        yield made

"""Requests made from the OpenAPI document: none makes the server fail, and every answer is of a kind it declares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from llmrec.config import ServiceSettings
from llmrec.service.http import create_app
from tests.conftest import open_shop

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "15"))
"""Of each operation; 250 make more than 5,000 in all."""


MODELS = {"encoder": None, "language_model": None} if "SCHEMA_REAL" in os.environ else {}
"""With SCHEMA_REAL set the real models answer; a dozen requests of each operation take minutes."""
ALLOWED = [status_code_conformance, content_type_conformance]


def test_no_request_makes_the_server_fail(tmp_path: Path) -> None:
    with open_shop(tmp_path / "shop", **MODELS) as rec:
        rec.fit()
        app = create_app(rec, settings=ServiceSettings(requests_a_minute=0))
        schema = schemathesis.openapi.from_asgi("/openapi.json", app)
        operations = [found.ok() for found in schema.get_all_operations()]
        assert len(operations) > 20
        for operation in operations:
            try_out(operation)


def try_out(operation: Any) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    def ask(case: schemathesis.Case) -> None:
        answer = case.call()
        # Whoever comes at a bad time is told so; everything else from 500 on is a fault.
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        case.validate_response(answer, checks=ALLOWED)

    ask()

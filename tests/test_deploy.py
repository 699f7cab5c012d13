"""The timers of deploy/: what they run is what the program has, and each treats the exit statuses as it should."""

import json
import shlex
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from llmrec.service.cli import app

DEPLOY = Path(__file__).parents[1] / "deploy"
STATUSES = {0: 0, 3: 0, 75: 0, 2: 2, 1: 1}
"""What `llmrec retrain` may end with -> what the timer should see."""


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((DEPLOY / name).read_text())
    return parser


def job() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "cronjob.yaml").read_text())
    return read


def is_known(command: list[str]) -> bool:
    """Whether the program has such a command with such options."""
    assert Path(command[0]).name == "llmrec"
    assert command[2] == "-w"
    return "--workspace" in CliRunner().invoke(app, [command[1], "--help"], env={"COLUMNS": "200"}).output


def shell(tmp_path: Path, script: str, status: int) -> tuple[int, str]:
    """Status and output of a shell script in which llmrec ends with a status."""
    program = tmp_path / "llmrec"
    program.write_text(f"#!/bin/sh\necho it ended with {status}\nexit {status}\n")
    program.chmod(0o755)
    script = script.replace("/opt/llmrec/bin/llmrec", "llmrec")
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_systemd_runs_it_and_takes_not_better_for_an_answer() -> None:
    service = unit("llmrec-retrain.service")["Service"]
    assert is_known(shlex.split(service["ExecStart"]))
    assert service["SuccessExitStatus"].split() == [
        str(status) for status, seen in STATUSES.items() if status and not seen
    ]
    assert service["Type"] == "oneshot"
    timer = unit("llmrec-retrain.timer")
    assert timer["Timer"]["Persistent"] == "true"
    assert timer["Install"]["WantedBy"] == "timers.target"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    for path in DEPLOY.glob("llmrec-retrain.*"):
        text = path.read_text().replace("/opt/llmrec/bin/llmrec", "/bin/true").replace("User=llmrec\n", "")
        (tmp_path / path.name).write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(tmp_path / path.name)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "llmrec-retrain" not in done.stderr, done.stderr


def cron_line() -> tuple[list[str], str]:
    (line,) = [one for one in (DEPLOY / "llmrec.cron").read_text().splitlines() if one and not one.startswith("#")]
    *when, command = line.split(maxsplit=5)
    return when, command


@pytest.mark.parametrize(("status", "seen"), STATUSES.items())
def test_cron_mails_failures_alone(tmp_path: Path, status: int, seen: int) -> None:
    when, command = cron_line()
    assert len(when) == 5
    assert is_known(shlex.split(command.partition("$(")[2].partition("2>&1")[0]))
    # What is printed is mailed.
    assert shell(tmp_path, command, status) == (seen, f"it ended with {status}\n" if seen else "")


@pytest.mark.parametrize(("status", "seen"), STATUSES.items())
def test_a_job_fails_on_failures_alone(tmp_path: Path, status: int, seen: int) -> None:
    spec = job()["spec"]
    (container,) = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    script = " ".join(container["args"])
    assert is_known(shlex.split(script.partition(";")[0]))
    assert shell(tmp_path, script, status)[0] == seen


def test_two_jobs_never_overlap() -> None:
    spec = job()["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["jobTemplate"]["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
    assert len(spec["schedule"].split()) == 5


def image() -> dict[str, list[str]]:
    """What the last stage of the Dockerfile says, by instruction."""
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    begin = max(place for place, line in enumerate(lines) if line.startswith("FROM"))
    said: dict[str, list[str]] = {}
    for line in lines[begin:]:
        name, _, rest = line.strip().partition(" ")
        said.setdefault(name, []).append(rest)
    return said


def test_the_dockerfile_has_no_fault_that_a_linter_knows() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_holds_what_the_package_is_built_of() -> None:
    root = DEPLOY.parent
    copied = [
        line.split()[1:-1]
        for line in (DEPLOY / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY") and "--from" not in line
    ]
    given = {Path(name) for names in copied for name in names}
    assert all((root / name).exists() for name in given)
    allowed = {
        Path(line[1:]) for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert given == allowed
    built = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {Path(name) for name in (*built["packages"], *built["force-include"])} <= given


def test_the_container_serves_as_a_plain_user() -> None:
    said = image()
    assert int(said["USER"][0]) > 0
    command = json.loads(said["ENTRYPOINT"][0]) + json.loads(said["CMD"][0])
    assert is_known(["llmrec", command[1], "-w", command[3]])
    assert "--host" in CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output


def test_compose_keeps_the_database_to_itself_and_loses_nothing() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert "ports" not in services["services"]["db"]
    own = services["services"]["llmrec"]
    assert all(port.startswith("127.0.0.1:") for port in own["ports"])
    assert own["read_only"] is True
    assert own["depends_on"]["db"]["condition"] == "service_healthy"
    volumes = {volume.partition(":")[0]: volume.partition(":")[2] for volume in own["volumes"]}
    assert set(volumes) <= set(services["volumes"])
    assert set(volumes.values()) == set(json.loads(image()["VOLUME"][0]))
    assert "${POSTGRES_PASSWORD:?" in own["environment"]["LLMREC_STORE__URL"]

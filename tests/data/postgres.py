"""A throw-away PostgreSQL server in a directory, reached through a socket there."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True)
class Programs:
    initdb: str
    pg_ctl: str


def server_programs() -> Programs | None:
    """The server's commands, from PATH or from where Debian keeps them."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, debian)])
    initdb, pg_ctl = shutil.which("initdb", path=path), shutil.which("pg_ctl", path=path)
    return Programs(initdb, pg_ctl) if initdb and pg_ctl else None


@dataclass(frozen=True)
class Server:
    url: str

    @classmethod
    @contextmanager
    def running(cls, programs: Programs, log_directory: Path) -> Iterator[Server]:
        """Start a server and stop it at the end."""
        # A socket's path is limited to about 100 characters, and another user must be able to reach it.
        with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as name:
            directory, account = Path(name), _account()
            if account:
                shutil.chown(directory, account)
            data, log = directory / "data", directory / "log"
            _run(
                [programs.initdb, "-D", str(data), "-U", "llmrec", "-A", "trust", "-N", "-E", "UTF8"],
                account,
                directory,
            )
            options = f"-k {directory} -c listen_addresses='' -c fsync=off"
            start = [programs.pg_ctl, "-D", str(data), "-l", str(log), "-o", options, "-w", "start"]
            _run(start, account, directory)
            try:
                yield cls(f"postgresql://llmrec@/postgres?host={quote(str(directory))}")
            finally:
                _run([programs.pg_ctl, "-D", str(data), "-m", "immediate", "stop"], account, directory)


def _account() -> str | None:
    """Whom to run the server as: it refuses root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _run(command: Sequence[str], account: str | None, directory: Path) -> None:
    # The output goes to a file, because a pipe would stay open as long as the server it starts.
    with (directory / "output").open("w") as output:
        subprocess.run(
            command,
            user=account,
            group=account and pwd.getpwnam(account).pw_gid,
            extra_groups=[] if account else None,
            cwd=directory,
            env={**os.environ, "LC_ALL": "C"},
            stdout=output,
            stderr=output,
            check=True,
            timeout=60,
        )

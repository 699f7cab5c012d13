"""The commands of the HTTP service: `llmrec serve` and `llmrec keys`."""

from __future__ import annotations

import gc
import json
import logging
import signal
import socket
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from llmrec.errors import ConfigError
from llmrec.service.options import HERE, AsJson, Workspace, command, opened, with_workspace
from llmrec.service.printing import print_json, print_table, say
from llmrec.service.web.keys import Keys
from llmrec.workspace import Workspace as Directory

__all__ = ["add_to", "serve_workspace"]

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_CONNECTIONS = 500
_PATIENCE = 30
"""Seconds that requests which were begun have to end when the server is told to stop."""

_keys_app = typer.Typer(invoke_without_command=True)


def add_to(app: typer.Typer) -> None:
    """Make the commands known to the program."""
    app.command()(serve)
    app.add_typer(_keys_app, name="keys")


def serve(
    host: Annotated[str, typer.Option(help="Where to listen; any but this machine alone needs a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any that is free.")] = 8000,
    host_name: Annotated[
        list[str] | None, typer.Option(help="A name that requests may call the server by; repeatable. Else any.")
    ] = None,
    workspace: Workspace = HERE,
) -> None:
    """Answer over HTTP, and show a page: recommendations, reasons, feedback, conversations.

    Example: llmrec serve -w demo-ml-100k
    """
    serve_workspace(workspace, host, port, frozenset(host_name or ()))


def serve_workspace(workspace: Path, host: str, port: int, names: frozenset[str] = frozenset()) -> None:
    """Serve until the process is told to stop (SIGINT, SIGTERM); what was begun is then finished.

    Raises:
        ConfigError: A key is needed and there is none, or the address cannot be used.
        NotFittedError: The workspace has no release.
    """
    import uvicorn  # heavy: only who serves waits for it

    from llmrec.service.http import create_app
    from llmrec.service.web.connections import PatientConnection
    from llmrec.service.web.door import host_of, is_loopback

    local = is_loopback(host)
    if not local and not Keys(Directory.open(workspace).keys_file).all():
        hint = with_workspace("make one: `llmrec keys add NAME`; or listen on 127.0.0.1", workspace)
        raise ConfigError(f"{host} is reached from other machines, so an API key is needed", hint=hint)
    listening = _bound(host, port)
    _start_access_log()
    with opened(workspace) as rec:
        if rec.store.aliases.now("rank") is None:
            rec.ready()  # says what is missing, before anything is loaded
        say("… loading the models")
        rec.share(rec.settings.service.batch)
        rec.ready()
        # What was loaded stays: to look through it for garbage again and again would hold up requests for tenths of a
        # second.
        gc.collect()
        gc.freeze()
        hosts = {host_of(name) for name in (*names, *([host] if local else []))}
        if hosts:
            hosts |= _LOOPBACK  # health checks
        app = create_app(rec, hosts=frozenset(hosts), demands_key=not local)
        options: dict[str, Any] = {
            "access_log": False,
            "log_config": None,
            "server_header": False,
            "proxy_headers": False,
        }
        options |= {"http": PatientConnection, "limit_concurrency": _CONNECTIONS}
        config = uvicorn.Config(app, timeout_graceful_shutdown=_PATIENCE, timeout_keep_alive=30, **options)
        shown = f"[{host}]" if ":" in host else host
        say(f"listening on http://{shown}:{listening.getsockname()[1]} (page /, API /docs). Ctrl-C ends it.")
        # The server ends in order and then repeats the signal: a stop that was asked for is no failure.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        uvicorn.Server(config).run(sockets=[listening])


@_keys_app.callback()
def _list(context: typer.Context, workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """The API keys of a workspace; add or remove one.

    Example: llmrec keys add shop-web -w shop
    """
    if context.invoked_subcommand:
        return
    keys = _keys(workspace).all()
    if as_json:
        print_json([{"name": one.name, "created": one.created} for one in keys])
    elif keys:
        print_table("API keys", ["name", "made"], [[one.name, one.created[:19]] for one in keys])
    else:
        say(f"there is no API key. Next: {command('keys add NAME', workspace)}")


@_keys_app.command()
def add(name: str, workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """Make a key and print it, this once; of what is kept it cannot be made again.

    Example: llmrec keys add shop-web -w shop
    """
    key = _keys(workspace).add(name)
    if as_json:
        print_json({"name": name, "key": key})
    else:
        typer.echo(key)
        say("Keep it: it is not shown again. Requests send it as `Authorization: Bearer KEY`.")


@_keys_app.command()
def remove(name: str, workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """Make a key invalid, also for servers that run.

    Example: llmrec keys remove shop-web -w shop
    """
    _keys(workspace).remove(name)
    if as_json:
        print_json({"removed": name})
    else:
        say(f"the key {name} is invalid now")


def _keys(workspace: Path) -> Keys:
    return Keys(Directory.open(workspace).keys_file)


def _bound(host: str, port: int) -> socket.socket:
    """A socket of the address, before the models are loaded for nothing."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with ExitStack() as undone:
            bound = undone.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            undone.pop_all()
    except OSError as error:
        hint = "choose another --port, or end what listens there; --port 0 takes any that is free"
        raise ConfigError(f"{host}:{port} cannot be listened on: {error.strerror or error}", hint=hint) from error
    bound.set_inheritable(True)
    return bound


class _AccessLines(logging.Formatter):
    """What the guard notes of a request is JSON already; other records become JSON lines beside it."""

    def format(self, record: logging.LogRecord) -> str:
        told = {"time": datetime.fromtimestamp(record.created, UTC).isoformat(), "level": record.levelname}
        if record.name == "llmrec.access" and record.levelno == logging.INFO:
            return json.dumps({**told, **json.loads(record.getMessage())})
        line = {**told, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _start_access_log() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_AccessLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.getLogger("llmrec.access").setLevel(logging.INFO)

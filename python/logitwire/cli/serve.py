"""`logitwire serve`: a model behind HTTP. The app is `logitwire.server`'s; here is the socket it runs on."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import socket
from typing import TYPE_CHECKING

import click

import logitwire as lw
from logitwire.cli import CommandError, options, terminal

if TYPE_CHECKING:
    import uvicorn

GRACE_S = 5.0
"""How long running answers may go on after Ctrl-C."""


@click.command()
@options.with_model
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port; 0 takes a free one."
)
@click.option(
    "--max-batch", type=click.IntRange(min=1), default=16, show_default=True, help="Requests answered at the same time."
)
@click.option("--allow-public", is_flag=True, help="Listen on an address others can reach, though there are no keys.")
def serve(model: str, offline: bool, host: str, port: int, max_batch: int, allow_public: bool) -> None:
    """Serve a model over HTTP, in OpenAI's dialect.

    There are /v1/chat/completions, /v1/completions, /v1/models and /health. The address is the first line on
    stdout. Ctrl-C stops; running answers get five seconds to end. There are no keys yet, so whoever
    reaches the port may use it: an address beyond this machine needs --allow-public.

    \b
    Examples:
      logitwire serve
      logitwire serve --model ~/models/llama.gguf --port 0
      logitwire serve --host 0.0.0.0 --allow-public
    """
    import uvicorn

    from logitwire.server import create_app

    with _listen(host, port, allow_public=allow_public) as listener:
        loaded = options.load_model(model, offline=offline)
        with lw.Engine(loaded, max_batch=max_batch) as engine:
            config = uvicorn.Config(
                create_app(engine),
                http="h11",
                ws="none",
                lifespan="off",
                log_level="warning",
                limit_concurrency=1024,
                h11_max_incomplete_event_size=65536,
            )
            _greet(listener, engine.name)
            try:
                _server(config, engine).run(sockets=[listener])
            except KeyboardInterrupt:
                # uvicorn has shut down by now, and hands on the signal that made it.
                terminal.note("\nstopped")
                raise click.exceptions.Exit(130) from None


def _server(config: uvicorn.Config, engine: lw.Engine) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        """Ends what is still running after a while by closing the engine, so that clients are told."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            ending = asyncio.get_running_loop().call_later(GRACE_S, lambda: engine.close(wait=False))
            await super().shutdown(sockets)
            ending.cancel()

    return Server(config)


def _listen(host: str, port: int, *, allow_public: bool) -> socket.socket:
    """A listening socket: had before the model is loaded, so that a port in use is known at once."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise CommandError(f"there is no address {host!r}: {error.strerror}", hint="try --host 127.0.0.1") from error
    if not (allow_public or ipaddress.ip_address(address[0]).is_loopback):
        raise CommandError(
            f"{host} can be reached from other machines, and there are no keys yet",
            hint="put a proxy that asks for one in front, or give --allow-public",
        )
    try:
        return socket.create_server((str(address[0]), port), family=family, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(
                f"port {port} of {host} is in use", hint="give another --port; 0 takes a free one"
            ) from error
        if error.errno == errno.EACCES:
            raise CommandError(f"port {port} of {host} is not for you", hint="ports from 1024 up are") from error
        raise CommandError(f"{host} port {port}: {error.strerror}", hint="try --host 127.0.0.1") from error


def _greet(listener: socket.socket, name: str) -> None:
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    body = {"model": name, "stream": True, "messages": [{"role": "user", "content": "Hello!"}]}
    terminal.write(f"{address}\n")
    terminal.note(f"{name} is served. Ctrl-C stops. Try:")
    terminal.note(f"curl -N {address}/v1/chat/completions -H 'content-type: application/json' -d '{json.dumps(body)}'")

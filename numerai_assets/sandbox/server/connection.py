"""Closes and resets connections, which ASGI does not offer."""

import asyncio
import socket
import struct
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_EXTENSION = "numerai_assets.transport"


class SeverableProtocol(H11Protocol):
    """HTTP/1.1 that adds the transport to each request's scope, for `close` and `reset`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app = cast("ASGIApp", self.app)

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[_EXTENSION] = transport
            await app(scope, receive, send)

        self.app = cast("Any", with_transport)


def close(scope: Scope) -> None:
    """Closes the request's connection after the bytes sent so far."""
    _transport(scope).close()


def reset(scope: Scope) -> None:
    """Resets the request's connection: the client receives a RST."""
    transport = _transport(scope)
    # The client may have disconnected first; its socket no longer exists then.
    if transport.is_closing():
        return
    # Closing with a linger time of zero sends a RST in place of a FIN.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _transport(scope: Scope) -> asyncio.Transport:
    found: asyncio.Transport = scope["extensions"][_EXTENSION]
    return found

"""Addresses to listen on, and who could reach them."""

from __future__ import annotations

import errno
import ipaddress
import socket

from otel_learning.errors import ConfigurationError, OtelLearningError


class ListenError(OtelLearningError):
    """An address cannot be listened on."""


def check_exposure(host: str, token: str | None, *, unprotected: bool) -> None:
    """Refuses to be reachable by others without a token, unless that was asked for by name.

    Raises:
        ConfigurationError: it would be.
    """
    if token is None and not unprotected and not _is_loopback(host):
        raise ConfigurationError(
            f"--host {host} lets others reach the server, and there is no token",
            "give --token-file FILE, or --unprotected where something else keeps others out",
        )


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """A socket that listens. Raises ListenError: the port is taken, or the host is not ours."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(f"--host {host!r} is no address of this machine: {error}") from error
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            raise ListenError(
                f"port {port} of {host} is in use", f"choose another with {option}"
            ) from error
        raise ListenError(f"cannot listen on port {port} of {host}: {error.strerror}") from error
    return found


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ipaddress.ip_address(str(entry[4][0]).split("%")[0]).is_loopback for entry in found)


def bracketed(host: str) -> str:
    """The host as URLs have it."""
    return f"[{host}]" if ":" in host else host

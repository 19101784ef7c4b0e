"""Connections to Stripe that tell a request that was never sent from one that may have been.

urllib3 reports a TLS handshake that failed or took too long as it reports the same after the request: as SSLError, as
ProtocolError or as a read time-out. Here every failure before the connection is made is a NewConnectionError. The
request is written only afterwards.
"""

from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError


class _Connection(HTTPSConnection):
    """A connection that is made completely, or not at all."""

    def connect(self) -> None:
        """Connect and shake hands. Raises ConnectTimeoutError, of which NewConnectionError is one."""
        try:
            super().connect()
        except ConnectTimeoutError:  # the name is not resolved, or the TCP connection not made
            raise
        except (OSError, HTTPError) as error:  # TLS errors and time-outs of sockets are OSErrors
            self.close()
            raise NewConnectionError(self, f"no TLS connection: {type(error).__name__}") from error


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection


class _Adapter(HTTPAdapter):
    """The adapter of requests with our connections. It repeats nothing."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": HTTPConnectionPool, "https": _Pool}

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        """Make the pools of connections through a proxy. A tunnel that is refused carried no request either."""
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = {"http": HTTPConnectionPool, "https": _Pool}
        return manager


def session() -> requests.Session:
    """A session of requests with our connections."""
    made = requests.Session()
    made.mount("https://", _Adapter())
    return made


def never_left(error: BaseException | None) -> bool:
    """True if an exception of requests proves that no byte of the request was sent: no connection was made."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error and error.args else None
    return isinstance(reason, ConnectTimeoutError)

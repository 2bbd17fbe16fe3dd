"""TLS towards upstreams: certificates and names are checked, sessions are taken up again."""

import ssl

MOST_SESSIONS = 256


class TlsContext(ssl.SSLContext):
    """A client's context that remembers one session for each name, so that the next handshake is a short one.

    A session belongs to the name whose certificate was checked when it began, and is offered to that name only.
    """

    _sessions: dict[str, ssl.SSLSession]

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        # asyncio and uvloop have no way to hand a session in; both come through here.
        if session is None and isinstance(server_hostname, str):
            session = self._sessions.get(server_hostname)
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def keep(self, name: str, session: ssl.SSLSession | None) -> None:
        """Remembers a session; the tickets of TLS 1.3 come with the first answer, so it is asked for after that."""
        if session is None or not session.has_ticket:
            return
        if len(self._sessions) >= MOST_SESSIONS:
            self._sessions.clear()
        self._sessions[name] = session


def tls_context(authorities: str | None = None) -> TlsContext:
    """A context that trusts the system's authorities, or those in the file `authorities`, and speaks HTTP/1.1."""
    context = TlsContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificates and names
    context._sessions = {}
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authorities is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.load_verify_locations(authorities)
    context.set_alpn_protocols(["http/1.1"])
    return context

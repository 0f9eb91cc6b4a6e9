"""A request with a key becomes an arrival: whose it is, whether it may come from where it comes, and when it came."""

from libs.kit.auth import Source
from libs.kit.http import Scope
from libs.kit.origins import BROWSER_KINDS, is_origin_allowed
from libs.kit.trace import current_traceparent
from services.ingest.api.deps import ApiDeps
from services.ingest.api.write_keys import Headers, authorise, find_user_agent
from services.ingest.domain.addresses import Network, find_client, read_networks
from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.tallies import Outcome
from services.ingest.errors import OriginNotAllowed


class Arrivals:
    """Makes arrivals. A source that allows every origin and wants no addresses pays two comparisons."""

    def __init__(self, deps: ApiDeps) -> None:
        self._sources = deps.sources
        self._clock = deps.clock
        self._tallies = deps.governance.tallies
        self._proxies: tuple[Network, ...] = read_networks(deps.settings.trusted_proxies)

    def arrive(self, scope: Scope, headers: Headers, key: str | None, path: str) -> Arrival:
        """Raises InvalidWriteKey, OriginNotAllowed, or Unavailable while no key could be loaded yet."""
        source = authorise(self._sources, key)
        now = self._clock.now()
        if source.allowed_origins and not self._may_come(source, headers):
            self._tallies.see(source.id, now)
            self._tallies.add(source.id, now, Outcome("refused", OriginNotAllowed.code))
            raise OriginNotAllowed
        client = None if source.ip_policy == "none" else self._find_client(source, scope, headers)
        return Arrival(source, path, now, current_traceparent(), find_user_agent(source, headers), client)

    def _may_come(self, source: Source, headers: Headers) -> bool:
        origin = headers.get(b"origin")
        if origin is None or source.kind not in BROWSER_KINDS:
            return True
        return is_origin_allowed(origin.decode("latin-1").lower(), source.allowed_origins)

    def _find_client(self, source: Source, scope: Scope, headers: Headers) -> str | None:
        """A server's own address is nobody's: who it speaks of it says itself."""
        if source.kind not in BROWSER_KINDS:
            return None
        peer = scope.get("client")
        forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1")
        return find_client(peer[0] if peer else None, forwarded, self._proxies)

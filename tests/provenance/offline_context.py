"""Puts the context of RO-Crates, which the package rocrate ships, where the validator looks for it without a network.

Run by the validator's own Python: ``python offline_context.py CACHE DOCUMENT ADDRESS``.
"""

import io
import sys
from pathlib import Path

from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from urllib3 import HTTPResponse

cache, document, address = sys.argv[1:]


class Here(HTTPAdapter):
    """Answers every request with the document."""

    def send(self, request, **_):
        """The answer."""
        body, kind = io.BytesIO(Path(document).read_bytes()), {"Content-Type": "application/ld+json"}
        answer = HTTPResponse(body=body, status=200, headers=kind, preload_content=False, request_url=request.url)
        return self.build_response(request, answer)


session = CachedSession(cache, expire_after=-1)
session.mount("https://", Here())
session.get(address).raise_for_status()

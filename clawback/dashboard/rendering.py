"""Pages from templates: everything that is data is escaped, and nothing in a page is inline.

Each page has a policy of its own: scripts run only with the page's nonce, everything comes from
this server, nobody frames it, and no page is kept in a cache.
"""

import secrets
from collections.abc import Mapping
from typing import Final

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from clawback import VERSION
from clawback.dashboard.statics import StaticFile
from clawback.dashboard.words import LANGUAGES, Speech
from clawback.lists import MAX_TOTAL

_CSP: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "object-src 'none'"
)
HEADERS: Final = {
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
}
HTMX: Final = msgspec.json.encode({
    "allowEval": False,
    "allowScriptTags": False,
    "includeIndicatorStyles": False,
    "selfRequestsOnly": True,
    "historyCacheSize": 0,
    "refreshOnHistoryMiss": True,
    "globalViewTransitions": False,
    "ignoreTitle": True,
    "timeout": 20_000,
}).decode()  # fmt: skip


class Pages:
    """Renders templates."""

    def __init__(self, files: Mapping[str, StaticFile]) -> None:
        """`files`: what pages may load, by name."""
        self._environment = Environment(
            loader=PackageLoader("clawback.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._files = files
        self._environment.globals |= {
            "static": self._static,
            "integrity": self._integrity,
            "htmx_config": HTMX,
            "languages": LANGUAGES,
            "most_kept": MAX_TOTAL,
            "version": VERSION,
        }

    def _static(self, name: str) -> str:
        return f"/dashboard{self._files[name].path}"

    def _integrity(self, name: str) -> str:
        return self._files[name].integrity

    def render(
        self, template: str, speech: Speech, status: int = 200, **context: object
    ) -> HTMLResponse:
        """A page in a language. Bug: a template uses what it was not given."""
        nonce = secrets.token_urlsafe(16)
        html = self._environment.get_template(template).render(
            nonce=nonce,
            speech=speech,
            _=speech.say,
            _n=speech.count,
            word=speech.word,
            number=speech.number,
            time=speech.time,
            **context,
        )
        headers = {"content-security-policy": _CSP.format(nonce=nonce), **HEADERS}
        return HTMLResponse(html, status, headers)

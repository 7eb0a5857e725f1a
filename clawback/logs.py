"""Logs: one JSON object a line, with secrets masked whatever put them there.

The only module that imports structlog. Bodies and headers are never logged; a second wall masks
what looks like a key, a secret, a long number or an e-mail address in any value.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Final, cast

import structlog

_SECRET: Final = re.compile(
    r"(sk|pk)_(test|live)_[0-9A-Za-z]{4,}|whsec_[0-9A-Za-z+/=]{8,}|[Bb]earer\s+\S+"
    r"|[\w.+-]+@[\w-]+\.[\w.]+|(?<![0-9A-Za-z])[0-9]{13,19}(?![0-9A-Za-z])|postgresql://\S+"
)
MASK: Final = "[masked]"

Event = MutableMapping[str, object]


def mask(text: str) -> str:
    """The text without anything that looks like a secret or a payer."""
    return _SECRET.sub(MASK, text)


def _masked(_logger: object, _method: str, event: Event) -> Event:
    return {name: mask(value) if isinstance(value, str) else value for name, value in event.items()}


def configure(level: str = "info") -> None:
    """Set logging up for this process: JSON lines on standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            _masked,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def get_logger() -> "structlog.typing.FilteringBoundLogger":
    """A logger."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger())

"""Clawback: a payments backend whose heart is giving money back.

A refund, a chargeback, an inquiry and a PIX MED are one thing, a claim, and every claim moves
money through one atomic ledger movement: freeze, resolve_approved, release.
"""

from typing import Final

VERSION: Final = "0.1.0"
API_VERSION: Final = "2026-05-12"

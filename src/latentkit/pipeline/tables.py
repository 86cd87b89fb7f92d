"""Tables of an evaluation card, for transfers and for other runs."""

from __future__ import annotations

from latentkit.pipeline.card_tables import Card, card_tables
from latentkit.pipeline.transfers.tables import is_transfer, transfer_tables
from latentkit.report.parts import Table


def tables_of(card: Card) -> list[Table]:
    """Return the tables of the card of a transfer or of another run."""
    return transfer_tables(card) if is_transfer(card) else card_tables(card)

"""What is not here because it was archived: only an order that is itself in the log explains why positions are missing."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Mapping
from typing import Any

from dms_tags.audit.verify.report import Report
from dms_tags.model import Action


class Archive:
    """The orders to archive that stand among the entries behind `cut`, the last position that is not here.

    `moved` has the numbers of those that moved the cut, where that is known: the others were late, and archived nothing.
    """

    def __init__(self, cut: int, moved: Collection[int] | None = None) -> None:
        self._cut = cut
        self._moved = moved
        self._orders: list[Mapping[str, Any]] = []

    def take(self, entry: Mapping[str, Any]) -> None:
        """Takes the next entry; only orders to archive matter."""
        state = entry["state"]
        if not self._cut or entry["action"] != Action.TRAIL_ARCHIVED or not isinstance(state, dict):
            return
        number = state.get("order")  # records of earlier versions have none
        if state.get("takenBack"):
            self._orders = [order for order in self._orders if order["state"].get("order") != number]
        elif number is None or self._moved is None or number in self._moved:
            self._orders.append(entry)

    def judge(self, covered: int, root: bytes, report: Report, *, seen_to: int) -> None:
        """Tells whether an order explains that the positions up to the cut are not here.

        `covered` is the size of the checkpoint, `root` the tree's root at the cut, `seen_to` the last entry that was looked at.
        """
        absent = f"the positions 1 to {self._cut} are not here"
        orders = [order for order in self._orders if order["state"].get("last") == self._cut]
        if not orders:
            if report.position_free or seen_to >= covered:
                report.found(None, f"{absent}, and no order to archive them stands in the log: they were taken away")
            return
        order = orders[-1]
        state, position = order["state"], order["position"]
        if state.get("root") not in (None, b64encode(root).decode()):
            report.found(position, f"the archive up to {self._cut} has another root than the log: it is not of these entries")
        elif position > covered:
            report.unknown.append(
                f"{absent}; the order to archive them, at position {position}, is not covered by a checkpoint yet: "
                "sign one (`dms-tags audit checkpoint`), then verify again"
            )
        else:
            report.remarks.append(f"{absent}; they were archived{self._files(covered)}")

    def _files(self, covered: int) -> str:
        """Which archive has which of them, as far as the orders that are here tell."""
        parts = []
        for order in self._orders:
            state = order["state"]
            if order["position"] <= covered:
                digest = f", the file with the sha256 {state['sha256']}" if "sha256" in state else ""
                parts.append(f"{state.get('first')} to {state.get('last')} by the order at position {order['position']}{digest}")
        before = self._orders[0]["state"].get("first", 1)
        if type(before) is int and before > 1:
            parts.insert(0, f"1 to {before - 1} by orders that are themselves in the archive")
        return ": " + "; ".join(parts)

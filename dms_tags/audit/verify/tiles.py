"""The tiles of a log in its database: each level is the hashes of the one below, and each tile is as wide as it says."""

from __future__ import annotations

from typing import Final

from dms_tags.audit.log import merkle
from dms_tags.audit.log.merkle import HASH_SIZE
from dms_tags.audit.log.tiles import HEIGHT, WIDTH, width_at
from dms_tags.audit.verify.report import Report
from dms_tags.store.database import Database, store_errors

MOST: Final = 3
"""Tiles of a level that are named: one that was deleted may take many with it."""


def check_tiles(database: Database, tenant: str, size: int, report: Report) -> None:
    """Adds to `report` what is wrong with the tiles of a tree of `size`.  Raises `StoreUnavailable`.

    Those of level 0 are held against the entries elsewhere; here their widths, and all of the levels above.
    """
    tiles = database.majority(database.collection("log_tiles"))
    below: list[bytes] = []
    level = 0
    while size >> HEIGHT * level:
        wanted = -(-(size >> HEIGHT * level) // WIDTH)
        number, faults, roots = 0, [], []
        with store_errors():
            for tile in tiles.find({"tenant": tenant, "level": level}, sort=[("number", 1)]):
                while number < min(tile["number"], wanted):
                    faults.append(f"{level}/{number} is missing")
                    roots.append(b"")
                    number += 1
                hashes = bytes(tile["hashes"])
                told = [hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE)]
                faults.extend(_faults(level, number, tile["width"], hashes, width_at(size, level, number)))
                expected = below[number * WIDTH : (number + 1) * WIDTH]
                if level and any(mine != other for mine, other in zip(told, expected, strict=False) if other):
                    faults.append(f"{level}/{number} was altered: it is not the hashes of the level below")
                roots.append(merkle.root_of(told) if len(told) == WIDTH else b"")
                number += 1
        faults.extend(f"{level}/{absent} is missing" for absent in range(number, wanted))
        for fault in faults[:MOST]:
            report.found(None, f"the log's tile {fault}")
        below = roots
        level += 1


def _faults(level: int, number: int, width: object, hashes: bytes, least: int) -> list[str]:
    if len(hashes) != HASH_SIZE * width if isinstance(width, int) else True:
        return [f"{level}/{number} was altered: it is told to be {width} hashes wide and has {len(hashes) // HASH_SIZE}"]
    return [f"{level}/{number} is too short: it has {width} hashes of {least}"] if len(hashes) < least * HASH_SIZE else []

"""What can be told of a file whose end says nothing, and of a line by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dms_tags.audit.export.manifest import MANIFEST, entries_of
from dms_tags.audit.verify.examiner import Broken, Examiner
from dms_tags.audit.verify.report import Progress, Report


def entry_of(line: bytes) -> Mapping[str, Any] | None:
    """The entry of a line, None where it is none."""
    try:
        entry = json.loads(line, object_pairs_hook=_members)
        position, revision, _, _ = entry["position"], entry["revision"], entry["resource"], entry["tenant"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return entry if type(position) is int and type(revision) is int and position > 0 else None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a member twice")
    return document


def without_manifest(file: Path, what: str, progress: Progress, *, cut_off: bool) -> Report:
    """What can be told of a file whose end says nothing: where the run of its entries breaks off."""
    report = Report()
    examiner: Examiner | None = None
    end = file.stat().st_size
    for line in entries_of(file, end):
        if line.startswith(MANIFEST):  # a line end came into it: it is there, and spoilt
            cut_off = False
            break
        try:
            if examiner is None:
                entry = entry_of(line)
                if entry is None:
                    break
                report.first = entry["position"]
                examiner = Examiner(report.first - 1)
            examiner.take(line[:-1])
        except Broken:
            break
        report.entries += 1
    progress(report.entries, report.entries)
    report.last = examiner.position if examiner is not None else 0
    report.found(report.last + 1 if cut_off else None, what)
    return report

"""Verifying a backup where it lies: nothing is missing, nothing altered, the entries are those that were signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dms_tags.audit.export.manifest import Manifest
from dms_tags.audit.log.keys import DEFAULT_TENANT, identity_of
from dms_tags.audit.log.note import Verifier, open_note
from dms_tags.audit.verify.file import verify_file
from dms_tags.audit.verify.report import FAILS, HOLDS, NOT_LOOKED, Finding, Progress, Report
from dms_tags.backup import folder as backups
from dms_tags.backup import records
from dms_tags.backup.folder import MANIFEST, Set, Spoilt, TrailOf
from dms_tags.errors import CannotStart, Unproven


@dataclass(slots=True)
class Checked:
    """What was found of a backup: what is wrong with its files, and for each tenant how its entries stand."""

    sets: int = 0
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    trails: dict[str, Report] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The exit status: 0 all holds, 1 something does not, 2 it could not be told."""
        told = {report.status for report in self.trails.values()}
        if self.faults or FAILS in told:
            return FAILS
        return NOT_LOOKED if NOT_LOOKED in told or not told else HOLDS


def verify(folder: Path, keys: Sequence[Verifier], progress: Progress) -> Checked:
    """Verifies the backup in `folder`; without `keys` those that it holds itself are taken, which is remarked.

    Raises `CannotStart` where there is no backup to look at, `OSError` where it cannot be read.
    """
    if not folder.is_dir():
        raise CannotStart(f"cannot look: {folder} is no folder")
    checked = Checked()
    try:
        sets = backups.sets(folder)
    except Spoilt as error:
        checked.faults.append(str(error))
        return checked
    if not sets:
        raise CannotStart(f"cannot look: there is no backup in {folder}")
    checked.sets = len(sets)
    for kept in sets:
        checked.faults.extend(backups.faults(kept))
    if checked.faults:
        return checked
    if not keys:
        checked.remarks.append("the public keys were taken from the backup itself: give --key to be sure whose it is")
    total = sum(trail.last - trail.after for kept in sets for trail in kept.trails.values())
    done = 0
    for before, kept in zip([None, *sets], sets, strict=False):
        _check_signature(kept, keys or _own(kept), checked)
        for trail in kept.trails.values():
            told = checked.trails.setdefault(trail.tenant, Report(first=trail.after + 1))
            _check_place(kept, trail, before, told)
            if trail.last > trail.after and told.position_free:

                def advance(count: int, _: int, begun: int = done) -> None:
                    progress(begun + count, total)

                _check_entries(kept, trail, keys, told, advance)
            done += trail.last - trail.after
    for tenant, told in list(checked.trails.items()):
        if not told.entries and not told.findings:
            del checked.trails[tenant]
        elif told.status == HOLDS:
            told.proven.append(f"genuine: each of the {told.entries} entries was signed")
            told.proven.append(f"complete: nothing is missing between the positions {told.first} and {told.last}")
    return checked


def _own(kept: Set) -> list[Verifier]:
    """The keys that a set holds: none where nothing was ever signed."""
    return [
        verifier
        for document in records.read(kept.folder / "log_identity.bson")
        for verifier in identity_of(document).verifiers(DEFAULT_TENANT)
    ]


def _check_signature(kept: Set, keys: Sequence[Verifier], checked: Checked) -> None:
    manifest = kept.folder / MANIFEST
    if "signature" not in kept.manifest:
        checked.remarks.append(f"{manifest} is not signed: only its own sums tell of files beside the trail")
        return
    signers = [Verifier(backups.signed_name(key.name.rpartition("/")[0]), key.public) for key in keys]
    try:
        open_note(f"{backups.signed_text(kept.manifest)}\n{kept.manifest['signature']}\n", signers)
    except Unproven as error:
        checked.faults.append(f"{manifest} was altered, or is another's: {error}")


def _check_place(kept: Set, trail: TrailOf, before: Set | None, told: Report) -> None:
    """The entries of a set begin where those of the set before ended, or where the trail began after it was archived."""
    earlier = None if before is None else before.trails.get(trail.tenant)
    begin = max(0 if earlier is None else earlier.last, trail.cut)
    if trail.after != begin:
        told.found(begin + 1, f"is in none of the sets: {kept.folder.name} begins behind {trail.after}")


def _check_entries(kept: Set, trail: TrailOf, keys: Sequence[Verifier], told: Report, progress: Progress) -> None:
    file = kept.folder / backups.trail_file(trail.tenant)
    verifiers = [Verifier(f"{key.name.rpartition('/')[0]}/{trail.tenant}", key.public) for key in keys or _own(kept)]
    report = verify_file(file, verifiers, None, progress)
    told.entries += report.entries
    told.last = report.last
    told.checkpoint = report.checkpoint or told.checkpoint
    told.findings.extend(Finding(finding.position, f"{finding.what} ({file})") for finding in report.findings)
    told.unknown.extend(f"{what} ({file})" for what in report.unknown)
    if report.position_free and not report.findings:
        manifest = Manifest.read(file)
        if (manifest.tenant, manifest.first, manifest.last) != (trail.tenant, trail.after + 1, trail.last):
            told.found(None, f"{file} is of {manifest.tenant}, {manifest.first} to {manifest.last}: it belongs to another set")

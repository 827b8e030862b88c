"""Verifying an exported file with nothing but the public key: no service, no database, no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dms_tags.audit.export.manifest import (
    MARK,
    CutOff,
    Manifest,
    NoExport,
    Run,
    entries_of,
    first_difference,
    hashes_of,
    is_table,
)
from dms_tags.audit.log import merkle
from dms_tags.audit.log.checkpoint import AnotherLog, Checkpoint
from dms_tags.audit.log.merkle import RangeProof
from dms_tags.audit.log.note import Verifier
from dms_tags.audit.trail.entry import canonical, leaf_of
from dms_tags.audit.verify.examiner import MALFORMED, Broken, Examiner
from dms_tags.audit.verify.lines import Lines
from dms_tags.audit.verify.matching import Matching, ends
from dms_tags.audit.verify.openings import SPELLING, Openings, part
from dms_tags.audit.verify.remnant import entry_of, without_manifest
from dms_tags.audit.verify.report import CannotTell, Kept, Progress, Report, RootLine
from dms_tags.audit.verify.run import ALTERED, RunVerification
from dms_tags.audit.verify.seals import Seals
from dms_tags.audit.verify.whole import Histories
from dms_tags.errors import Unproven


def verify_file(file: Path, verifiers: Sequence[Verifier], kept_text: str | None, progress: Progress) -> Report:
    """Verifies the NDJSON export in `file`.  Raises `OSError` where it cannot be read."""
    try:
        manifest = Manifest.read(file)
    except NoExport as error:
        return Report(unknown=[str(error)])
    except CutOff as error:
        return without_manifest(file, str(error), progress, cut_off=True)
    except Unproven as error:
        return without_manifest(file, str(error), progress, cut_off=False)
    try:
        checkpoint = None if manifest.note is None else Checkpoint.open(manifest.note, verifiers)
        kept = Kept() if kept_text is None else Kept.read(kept_text, list(verifiers))
    except CannotTell as error:
        return Report(unknown=[str(error)])
    except Unproven as error:
        if isinstance(error, AnotherLog) and manifest.intact:
            return Report(unknown=[f"{error}: give the key of that log"])
        return without_manifest(file, str(error), progress, cut_off=False)
    if not manifest.intact and not _begins_as_told(file, manifest):
        return without_manifest(file, "the manifest, the last line, was altered", progress, cut_off=False)
    return _FileVerification(file, manifest, checkpoint, kept, progress).run(verifiers)


class _Told(NamedTuple):
    """What a line tells: its members, its leaf, and whether it was proven by itself."""

    entry: Mapping[str, Any]
    leaf: bytes
    proven: bool


class _FileVerification:
    """One file, its manifest read, its checkpoint found genuine (None: it has none)."""

    def __init__(self, file: Path, manifest: Manifest, checkpoint: Checkpoint | None, kept: Kept, progress: Progress) -> None:
        self._manifest = manifest
        self._checkpoint = checkpoint
        self._kept = kept
        self._lines = Lines(file, manifest, progress)
        # a manifest that was spoilt is no measure of the entries: that it was is told at the end
        self._matching = Matching(manifest.filters if manifest.intact else {})
        self._tenant = manifest.tenant if manifest.intact else None
        self._last = manifest.last if manifest.intact else 0
        self._openings = Openings()
        self._seals: Seals | None = None
        self._histories: Histories | None = None
        self.report = Report(checkpoint=checkpoint, first=manifest.first)

    def _check_manifest(self, verifiers: Sequence[Verifier]) -> None:
        """What the manifest says of itself: who signed it, of whose trail and by which filters it is."""
        manifest, checkpoint, report = self._manifest, self._checkpoint, self.report
        try:
            manifest.check_signature(verifiers)
        except Unproven as error:
            report.found(None, f"the manifest, the last line, was altered: {error}")
        if checkpoint is not None and not checkpoint.origin.endswith(f"/{manifest.tenant}"):
            report.found(
                None, f"the manifest tells of the tenant {manifest.tenant!r}, its checkpoint is one of {checkpoint.origin}"
            )
        if self._matching.unknown:
            report.found(None, f"the manifest tells of filters that there are not: {', '.join(self._matching.unknown)}")
        if manifest.head < manifest.last:
            report.found(None, f"the manifest tells of entries up to {manifest.last} in a trail of {manifest.head}")

    def run(self, verifiers: Sequence[Verifier]) -> Report:
        """Reads the file to its end and tells what was found."""
        self._check_manifest(verifiers)
        if self._manifest.run is not None and self._checkpoint is not None:
            self._verify_run(self._manifest.run, self._checkpoint)
        else:
            self._verify_part()
        self._check_ends()
        self._compare_manifest()
        if not self.report.findings and self._checkpoint is not None:
            self._tell_proven()
            self.report.remarks += self._openings.remarks()
        return self.report

    def _check_ends(self) -> None:
        """A run of positions begins and ends where its filters say; nothing lies before what the trail held."""
        report, manifest = self.report, self._manifest
        if manifest.intact and manifest.oldest is not None and report.entries and report.first < manifest.oldest:
            report.found(report.first, f"lies before position {manifest.oldest}, where the trail began by the manifest")
        if not (report.position_free and manifest.intact and manifest.contiguous and report.entries):
            return
        first, last = ends(manifest)
        if first is not None and report.first != first:
            report.found(first, f"is missing: by the manifest's filters the export begins here, not at {report.first}")
        elif last is not None and report.last > last:
            report.found(last + 1, "stands behind the end that the manifest's filters and head tell of")
        elif last is not None and report.last < last:
            report.found(report.last + 1, f"is missing: by the manifest the export goes on to position {last}")
        elif manifest.run is None and self._checkpoint is not None:
            report.found(None, "the manifest was altered: what proves a run of positions (run) was taken away")

    def _tell_proven(self) -> None:
        """What was proven, each by its name; all lines are in order."""
        report, manifest = self.report, self._manifest
        signed = manifest.signature is not None
        if manifest.run is not None:
            report.proven.append(f"genuine: each of the {report.entries} entries was signed")
            report.proven.append(f"complete: nothing is missing between the positions {report.first} and {report.last}")
            if self._seals is not None:
                self._seals.tell(report)
            if not signed:
                report.remarks.append("the manifest itself is not signed: its filters, and how far the trail went, are not told")
        elif not report.unknown and report.entries:
            report.proven.append(f"genuine: each of the {report.entries} entries was signed")
            if signed:
                report.proven.append(
                    f"complete: all that matches its filters up to position {manifest.head}, by the signed manifest"
                )
            else:
                report.unknown.append("completeness not told: nobody signed the manifest, so entries may have been left out")
        if self._histories is not None and (report.proven or not report.entries):
            self._histories.tell(report)
        if not manifest.complete:
            told = "" if manifest.oldest is None else f" position {manifest.oldest}"
            report.remarks.append(f"what was archived before{told} is not in this file, by its manifest")

    def _verify_run(self, run: Run, checkpoint: Checkpoint) -> None:
        report, begin = self.report, self._manifest.first - 1
        kept = RootLine(
            [checkpoint for checkpoint in self._kept.checkpoints if checkpoint.size > begin], "the checkpoint kept outside"
        )
        examiner, marks = Examiner(begin, self._tenant), bytearray()
        self._seals = examiner.seals
        verification = RunVerification(examiner, run.left, [kept], report)
        matching = self._matching if self._manifest.filters and self._manifest.intact else None
        try:
            for line in self._lines:
                told = self._told(line, examiner.position + 1)
                entry, digest = verification.take(told.leaf, told.entry)
                marks += digest[:MARK]
                if examiner.fault is None:
                    wrong = self._openings.wrong(entry) or (None if matching is None else matching.wrong(entry))
                    if wrong is not None:
                        examiner.fault = (examiner.position, wrong)
        except (Broken, Unproven) as error:
            report.found(examiner.position + 1, str(error))
        self._lines.read_to_end()
        verification.end()
        marked = begin + len(run.marks) // MARK
        if report.position_free and report.last < max(self._last, marked):
            report.found(report.last + 1, "is missing: the file is cut off here")
        elif report.position_free and report.last > marked:
            report.found(marked + 1, "stands behind the end that the manifest tells of: its marks end before")
        differs = first_difference(bytes(marks), run.marks)
        tree = verification.tree if report.position_free else None
        if tree is not None and self._gives_root(tree, run, checkpoint):
            if differs is not None:
                report.found(None, "the manifest was altered: its marks are not those of the entries, which hold")
        elif differs is not None:
            report.found(begin + 1 + differs, ALTERED)
        elif tree is not None:
            report.found(None, f"the entries and the manifest do not give the root of the checkpoint at {checkpoint.size}")
        if examiner.fault is not None:
            report.found(*examiner.fault)
        self._hold_against(kept.left())

    def _told(self, line: bytes, position: int) -> _Told:
        """What a line tells; its proof, if it has one, holds.  Raises `Broken`, `Unproven`."""
        if not line.endswith(b"\n"):
            raise Broken("the end of its line was altered")
        if self._checkpoint is None or b'"proof":' not in line:
            return _Told(*part(line[:-1]), proven=False)
        try:
            entry = json.loads(line)
            spelt = canonical(entry)
            proof = hashes_of(entry.pop("proof"))
            leaf = leaf_of(entry)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Broken(MALFORMED) from error
        if spelt != line[:-1]:
            raise Broken(SPELLING)
        try:
            merkle.verify_inclusion(merkle.leaf_hash(leaf), position - 1, self._checkpoint.size, proof, self._checkpoint.root)
        except Unproven as error:
            raise Unproven(f"{ALTERED}, or its proof was altered") from error
        return _Told(entry, leaf, proven=True)

    def _gives_root(self, rebuilt: RangeProof, run: Run, checkpoint: Checkpoint) -> bool:
        try:
            return run.size == checkpoint.size and rebuilt.root(run.size, run.right) == checkpoint.root
        except Unproven:
            return False

    def _hold_against(self, left: Sequence[Checkpoint]) -> None:
        """What the file does not reach of the checkpoints kept outside."""
        report, own = self.report, self._checkpoint
        for kept in left:
            if own is not None and kept.size == own.size:
                if kept.root != own.root:
                    report.found(None, f"the checkpoint kept outside at {kept.size} has another root than that of the file")
            else:
                report.unknown.append(
                    f"the checkpoint kept outside covers {kept.size} entries, this file goes to {report.last}: "
                    "not told beyond its end (export again, then compare)"
                )

    def _verify_part(self) -> None:
        """A part of a trail: each line must have its own proof."""
        report = self.report
        try:
            self._histories = Histories(self._manifest, self._checkpoint)
        except Unproven as error:
            report.found(None, str(error))
        unproven = 0
        revision: int | None = None
        for line in self._lines:
            entry = entry_of(line)
            if entry is None:
                report.found(report.last + 1, f"{MALFORMED} (line {self._lines.count})")
                break
            position = entry["position"]
            if position <= report.last:
                others = (later["position"] for later in map(entry_of, self._lines) if later is not None)
                report.found(min([position, *others]), f"stands behind position {report.last}: out of order, or a second time")
                break
            wrong = self._wrong(entry, report.last, revision)
            try:
                told = self._told(line, position)
                unproven += not told.proven
                beside = self._openings.wrong(told.entry)
                if beside is None and self._histories is not None:
                    beside = self._histories.gap(entry)
                if wrong is None and beside is not None:
                    wrong = (position, beside)
            except (Broken, Unproven) as error:
                wrong = (position, str(error))
            if wrong is not None:
                report.found(*wrong)
                break
            if not report.entries:
                report.first = position
            report.last, revision = position, entry["revision"]
            report.entries += 1
        self._lines.read_to_end()
        if report.position_free and report.last < self._last:
            what = f"is the last entry here; the manifest tells of entries up to {self._last}: cut off behind it"
            if self._manifest.contiguous or not report.last:
                report.found(report.last + 1, "is missing: the file is cut off here")
            else:
                report.found(report.last, what)
        if self._histories is not None and not report.findings:
            self._histories.judge(report)
        if self._checkpoint is None:
            report.unknown.append("the file has no checkpoint: the service that made it could not sign, so nothing is proven")
        elif unproven:
            report.unknown.append(
                f"{unproven} entries have no proof: a part of a trail is proven if it is exported with proofs=true"
            )
        self._hold_against(self._kept.checkpoints)

    def _wrong(self, entry: Mapping[str, Any], before: int, revision: int | None) -> tuple[int, str] | None:
        """At which position the entry that follows `before` shows that something is wrong, and what."""
        position, manifest = entry["position"], self._manifest
        if not manifest.intact:
            return None
        if entry["tenant"] != manifest.tenant:
            return position, f"belongs to the tenant {entry['tenant']!r}, not to {manifest.tenant!r}"
        contradicted = self._matching.wrong(entry)
        if contradicted is not None:
            return position, contradicted
        expected = before + 1 if before else ends(manifest)[0]
        if manifest.contiguous and expected is not None and position != expected:
            return expected, f"is missing; position {position} stands here"
        if manifest.one_resource and revision is not None and entry["revision"] != revision + 1:
            return position, f"has revision {entry['revision']} after {revision}: entries between were left out"
        return None

    def _compare_manifest(self) -> None:
        """Count and sum, where the entries themselves hold: else they only repeat what was found."""
        report, manifest = self.report, self._manifest
        if report.findings:
            return
        between = f"between the positions {report.first} and {report.last}" if report.entries else ""
        if not manifest.intact:
            report.found(None, "the manifest, the last line, was altered")
        elif self._lines.count != manifest.count or (manifest.count and report.last != manifest.last):
            report.found(
                None,
                f"the manifest tells of {manifest.count} entries up to {manifest.last}; there are {self._lines.count} {between}",
            )
        elif self._lines.digest.hexdigest() != manifest.sha256:
            report.found(
                None, f"the sum of the lines {between} is not the manifest's sha256: the file or its manifest was altered"
            )
        elif self._lines.in_table and manifest.lines not in (None, self._lines.lines_digest.hexdigest()):
            report.found(None, f"the rows {between} are not the lines that the manifest was signed for")


def _begins_as_told(file: Path, manifest: Manifest) -> bool:
    """Whether the first entry stands where the manifest says: of one that was spoilt even that is not sure."""
    lines = entries_of(file, manifest.begin)
    if is_table(file):
        next(lines, b"")
    entry = entry_of(next(lines, b""))
    return entry is None or entry["position"] == manifest.first

"""Verifying an exported file with nothing but the public key: no service, no database, no network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from dms_tags.audit.export import rows
from dms_tags.audit.export.manifest import MANIFEST, MARK, CutOff, Manifest, Run, entries_of, hashes_of, is_table
from dms_tags.audit.log import merkle
from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.log.merkle import RangeProof
from dms_tags.audit.log.note import Verifier
from dms_tags.audit.trail.entry import canonical
from dms_tags.audit.verify.examiner import MALFORMED, Broken, Examiner
from dms_tags.audit.verify.report import Kept, KeptRoots, Progress, Report
from dms_tags.errors import Unproven

PROGRESS_EVERY: Final = 5_000
ALTERED: Final = "is not the entry that was signed: its hash is another"


def verify_file(file: Path, verifiers: Sequence[Verifier], kept_text: str | None, progress: Progress) -> Report:
    """Verifies the NDJSON export in `file`.  Raises `OSError` where it cannot be read."""
    try:
        manifest = Manifest.read(file)
        checkpoint = None if manifest.note is None else Checkpoint.open(manifest.note, verifiers)
        kept = Kept() if kept_text is None else Kept.read(kept_text, list(verifiers))
    except CutOff as error:
        return _without_manifest(file, str(error), progress)
    except Unproven as error:
        report = _without_manifest(file, str(error), progress)
        report.findings.sort(key=lambda finding: finding.position is None)
        return report
    verification = _FileVerification(file, manifest, checkpoint, kept)
    return verification.run(progress)


class _FileVerification:
    """One file, its manifest read, its checkpoint found genuine (None: it has none)."""

    def __init__(self, file: Path, manifest: Manifest, checkpoint: Checkpoint | None, kept: Kept) -> None:
        self._file = file
        self._manifest = manifest
        self._checkpoint = checkpoint
        self._kept = kept
        self._digest = sha256()
        self._count = 0
        self.report = Report(checkpoint=checkpoint, first=manifest.first)

    def run(self, progress: Progress) -> Report:
        """Reads the file to its end and tells what was found."""
        if self._manifest.run is not None and self._checkpoint is not None:
            self._verify_run(self._manifest.run, self._checkpoint, progress)
        else:
            self._verify_part(progress)
        self._compare_manifest()
        return self.report

    def _lines(self, progress: Progress) -> Iterator[bytes]:
        """The lines with entries; the rows of a table as the lines that they tell, an empty one where they tell none."""
        spelt_lines = entries_of(self._file, self._manifest.begin)
        in_table = is_table(self._file)
        if in_table:
            self._digest.update(next(spelt_lines, b""))
        for spelt in spelt_lines:
            self._digest.update(spelt)
            self._count += 1
            if not self._count % PROGRESS_EVERY:
                progress(self._count, self._manifest.count)
            yield _told(spelt) if in_table else spelt
        progress(self._count, self._manifest.count)

    def _verify_run(self, run: Run, checkpoint: Checkpoint, progress: Progress) -> None:
        report, begin = self.report, self._manifest.first - 1
        try:
            rebuilt = RangeProof(begin, run.left)
        except Unproven as error:
            report.found(None, f"the manifest was altered: {error}")
            rebuilt = None
        examiner, marks = Examiner(begin), bytearray()
        kept = KeptRoots([one for one in self._kept.checkpoints if one.size > begin], "the checkpoint kept outside")
        lines = self._lines(progress)
        try:
            for line in lines:
                leaf = self._leaf(line, examiner.position + 1)
                examiner.take(leaf)
                digest = merkle.leaf_hash(leaf)
                marks += digest[:MARK]
                if rebuilt is not None:
                    rebuilt.append(digest)
                    if kept.next_size == examiner.position:
                        kept.pass_by(examiner.position, rebuilt.root_so_far(), report)
        except (Broken, Unproven) as error:
            report.found(examiner.position + 1, str(error))
        for _ in lines:  # the sum of the file is told from all of it
            pass
        report.last, report.entries = examiner.position, examiner.position - begin
        if not report.findings and report.last < self._manifest.last:
            report.found(report.last + 1, "is missing: the file is cut off here")
        differs = _first_difference(bytes(marks), run.marks)
        at_end = not report.findings and rebuilt is not None
        if at_end and rebuilt is not None and self._gives_root(rebuilt, run, checkpoint):
            if differs is not None:
                report.found(None, "the manifest was altered: its marks are not those of the entries, which hold")
        elif differs is not None:
            report.found(begin + 1 + differs, ALTERED)
        elif at_end:
            report.found(None, f"the entries and the manifest do not give the root of the checkpoint at {checkpoint.size}")
        if examiner.fault is not None:
            report.found(*examiner.fault)
        self._hold_against(kept.left())

    def _leaf(self, line: bytes, position: int) -> bytes:
        """The entry of a line in canonical JSON; its proof, if it has one, holds.  Raises `Broken`, `Unproven`."""
        if not line.endswith(b"\n"):
            raise Broken("the end of its line was altered")
        if self._checkpoint is None or b'"proof":' not in line:
            return line[:-1]
        try:
            entry = json.loads(line)
            spelt = canonical(entry)
            proof = hashes_of(entry.pop("proof"))
            leaf = canonical(entry)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Broken(MALFORMED) from error
        if spelt != line[:-1]:
            raise Broken("is not spelt in canonical JSON")
        try:
            merkle.verify_inclusion(merkle.leaf_hash(leaf), position - 1, self._checkpoint.size, proof, self._checkpoint.root)
        except Unproven as error:
            raise Unproven(f"{ALTERED}, or its proof was altered") from error
        return leaf

    def _gives_root(self, rebuilt: RangeProof, run: Run, checkpoint: Checkpoint) -> bool:
        try:
            return run.size == checkpoint.size and rebuilt.root(run.size, run.right) == checkpoint.root
        except Unproven:
            return False

    def _hold_against(self, left: Sequence[Checkpoint]) -> None:
        """What the file does not reach of the checkpoints kept outside."""
        report, manifest, own = self.report, self._manifest, self._checkpoint
        for kept in left:
            if own is not None and kept.size == own.size:
                if kept.root != own.root:
                    report.found(None, f"the checkpoint kept outside at {kept.size} has another root than that of the file")
            elif manifest.head < kept.size:
                report.found(
                    manifest.head + 1,
                    f"is missing: the checkpoint kept outside covers {kept.size} entries, the trail had {manifest.head} at the export",
                )
            else:
                report.unknown.append(f"the checkpoint kept outside at {kept.size} is not the one of this file, nor within it")

    def _verify_part(self, progress: Progress) -> None:
        """A part of a trail: each line must have its own proof."""
        report = self.report
        revisions: dict[str, int] = {}
        unproven = 0
        lines = self._lines(progress)
        for line in lines:
            position = _position(line)
            if position is None:
                report.found(report.last + 1, f"{MALFORMED} (line {self._count})")
                break
            if position <= report.last:
                lowest = min([position, *(later for later in map(_position, lines) if later is not None)])
                report.found(lowest, f"stands behind position {report.last}: out of order, or a second time")
                break
            try:
                unproven += self._leaf(line, position) == line[:-1]
            except (Broken, Unproven) as error:
                report.found(position, str(error))
                break
            report.last = position
            report.entries += 1
            entry = json.loads(line)
            before = revisions.get(entry["resource"], entry["revision"] - 1)
            if self._manifest.one_resource and entry["revision"] != before + 1:
                report.found(position, f"has revision {entry['revision']} after {before}: entries between were left out")
                break
            revisions[entry["resource"]] = entry["revision"]
        for _ in lines:
            pass
        if not report.findings and report.last < self._manifest.last:
            report.found(report.last + 1, "is missing: the file is cut off here")
        if self._checkpoint is None:
            report.unknown.append("the file has no checkpoint: the service that made it could not sign, so nothing is proven")
        elif unproven:
            report.unknown.append(
                f"{unproven} entries have no proof: a part of a trail is proven if it is exported with proofs=true"
            )
        self._hold_against(self._kept.checkpoints)

    def _compare_manifest(self) -> None:
        """Count and sum, where the entries themselves hold: else they only repeat what was found."""
        report, manifest = self.report, self._manifest
        if report.findings:
            return
        if not manifest.intact:
            report.found(None, "the manifest, the last line, was altered")
        elif self._count != manifest.count or (manifest.count and report.last != manifest.last):
            report.found(
                None,
                f"the manifest tells of {manifest.count} entries up to {manifest.last}; there are {self._count} up to {report.last}",
            )
        elif self._digest.hexdigest() != manifest.sha256:
            report.found(None, "the sum of the lines is not the manifest's sha256: the file or its manifest was altered")


def _told(row: bytes) -> bytes:
    try:
        return rows.leaf(row) + b"\n"
    except ValueError:
        return b"\n"


def _position(line: bytes) -> int | None:
    try:
        entry = json.loads(line)
        position, _, _ = entry["position"], entry["resource"], entry["revision"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return position if type(position) is int else None


def _without_manifest(file: Path, what: str, progress: Progress) -> Report:
    """What can be told of a file whose end says nothing: where the run of its entries breaks off."""
    report = Report()
    examiner: Examiner | None = None
    end = file.stat().st_size
    for line in entries_of(file, end):
        if line.startswith(MANIFEST):
            break
        try:
            if examiner is None:
                first = json.loads(line)["position"]
                examiner = Examiner(first - 1)
                report.first = first
            examiner.take(line[:-1])
        except (Broken, ValueError, TypeError, KeyError):
            break
        report.entries += 1
    progress(report.entries, report.entries)
    report.last = examiner.position if examiner is not None else 0
    report.found(report.last + 1 if what.startswith("the file is cut off") else None, what)
    return report


def _first_difference(ours: bytes, theirs: bytes) -> int | None:
    """The number of the first entry whose marks differ; None where those that both have are equal."""
    common = min(len(ours), len(theirs)) // MARK * MARK
    if ours[:common] == theirs[:common]:
        return None
    low, high = 0, common // MARK
    while high - low > 1:
        middle = (low + high) // 2
        if ours[low * MARK : middle * MARK] == theirs[low * MARK : middle * MARK]:
            low = middle
        else:
            high = middle
    return low

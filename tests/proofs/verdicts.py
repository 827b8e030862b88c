"""The console's verifier, which browsers run, held to `audit verify`: the same files, the same verdicts."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.log.keys import SigningKey
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.verify.file import verify_file
from dms_tags.audit.verify.report import Report
from tests.proofs import seals
from tests.proofs.forgeries import Base, forged_exports, honest_exports

MODULES: Final = Path(str(files("dms_tags"))) / "api" / "console" / "assets" / "verify"
RUNNER: Final = Path(__file__).parent.parent / "support" / "verdicts.mjs"
NODE: Final = shutil.which("node")
"""Runs the modules outside a browser; the browser itself runs a sample in `tests/api/console`."""


@dataclass(frozen=True, slots=True)
class Case:
    """A file, the key to verify it with, and the verdict of `audit verify`."""

    file: Path
    key: str
    kind: str
    report: Report
    kept: str | None = None

    @property
    def order(self) -> str:
        """What the verifier is told, as a line of JSON."""
        return json.dumps({"file": str(self.file), "key": self.key, "kept": self.kept})

    def differs(self, told: dict[str, Any]) -> str | None:
        """How the other verdict differs, None: not at all."""
        report, worst = self.report, told["worst"]
        position = None if report.worst is None else report.worst.position
        ours: list[Any] = [report.status, report.verdict, position, report.unknown]
        theirs = [told["status"], told["verdict"], None if worst is None else worst["position"], told["unknown"]]
        if not report.findings:
            ours += [report.remarks, report.entries, report.first, report.last]
            theirs += [told[name] for name in ("remarks", "entries", "first", "last")]
        return (
            None
            if ours == theirs
            else f"{self.file.name} {self.kind}, kept {self.kept}: {ours} {theirs}; {report.worst}, {worst}"
        )


def cases(folder: Path, count: int) -> Iterator[Case]:
    """Honest files of every kind, with checkpoints kept outside and without, and `count` forged ones, each verified by `audit verify`."""
    base = Base(folder)
    exports = list(honest_exports(base))
    notes = list(_kept(base, folder))
    for kind, lines in exports:
        file = folder / kind.replace(", ", "-")
        for kept in (None, *notes):
            yield _case(base, file, kind, lines, kept)
    for seed, kind, lines, _ in forged_exports(exports, count):
        yield _case(base, folder / f"forged-{seed}", kind, lines)
    for name in ("sealed", "liar"):
        (folder / name).mkdir()
    yield from _sealed(seals.Sealed(folder / "sealed"), folder / "liar", count // 4)


def _sealed(base: seals.Sealed, folder: Path, count: int) -> Iterator[Case]:
    """Exports whose manifests tell of a seal, honest ones and forged ones, and whole trails with good seals and with a false one."""
    for kind, lines in seals.honest_exports(base):
        yield _case(base, base.folder / kind, kind, lines)
    for seed, kind, lines, _ in seals.forged_exports(base, count):
        yield _case(base, base.folder / f"forged-{seed}", kind, lines)
    liar = Base(folder)
    seals.lie(liar, {"size": 7, "root": "A" * 43 + "=", "upTo": 300})
    yield _case(liar, folder / "lie", "a false seal", liar.export(Filters(), proofs=False))


def _case(base: Base, file: Path, kind: str, lines: Sequence[bytes], kept: str | None = None) -> Case:
    file.write_bytes(b"".join(lines))
    report = verify_file(file, [base.verifier], kept, lambda _done, _all: None)
    return Case(file, str(base.verifier), kind, report, kept)


def _kept(base: Base, folder: Path) -> Iterator[str]:
    """What people may have kept outside: genuine checkpoints, one of another history, one beyond the trail, two that contradict each other, none."""
    signer = SigningKey.load(folder / "signing.key").signer(base.verifier.name)
    tree = base.checkpointer.log.tree("default")

    def note(size: int, root: bytes) -> str:
        return signer.sign(Checkpoint(base.verifier.name, size, root).text)

    genuine, other = [note(size, tree.root(size)) for size in (100, 300)], note(200, bytes(32))
    yield from (
        genuine[0],
        "\n".join(genuine),
        other,
        note(301, bytes(32)),
        "\n".join([other, note(200, b"1" * 32)]),
        "nothing\n",
    )


def agree(folder: Path, count: int) -> str:
    """Asserts that Node, with the modules that browsers load, tells of every file what `audit verify` does; what was compared."""
    made = list(cases(folder, count))
    assert NODE is not None, (
        "this proof runs the console's modules in Node: install it (on Debian or Ubuntu: apt-get install nodejs)"
    )
    done = subprocess.run(
        [NODE, RUNNER, MODULES], input="\n".join(case.order for case in made), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    differences = [difference for case, each in zip(made, told, strict=True) if (difference := case.differs(each)) is not None]
    assert not differences, differences[:3]
    return f"{len(made)} files, by status {dict(sorted(Counter(case.report.status for case in made).items()))}: told alike"

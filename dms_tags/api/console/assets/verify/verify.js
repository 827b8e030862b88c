// Verifying an exported file with nothing but the public key: no service, no database, no network.
//
// A source is { size, read(begin, end) }: the bytes of the file.

import { bytesOf, find, joined, same, textOf, toHex } from "./bytes.js";
import { attempt, Broken, ends, entryOf, Examiner, MALFORMED, Matching } from "./examiner.js";
import { canonical, parseJson } from "./json.js";
import { leafOf, Openings, part, SPELLING } from "./leaf.js";
import { Lines, linesOf } from "./lines.js";
import { CutOff, firstDifference, hashesOf, MANIFEST, Manifest, MARK, NoExport } from "./manifest.js";
import { leafHash, RangeProof, Unproven, verifyInclusion } from "./merkle.js";
import { AnotherLog, CannotTell, Checkpoint, keptCheckpoints } from "./note.js";
import { Report, RootLine } from "./report.js";
import { Histories, Seals } from "./seals.js";
import { equal, Malformed, member, quoted, shown } from "./values.js";

const ALTERED = "is not the entry that was signed: its hash is another";
const PROOF = bytesOf('"proof":');

/** Verifies an NDJSON export; `kept` is the text of checkpoints that were kept outside, or null. */
export async function verifyFile(source, verifiers, kept, progress) {
  let manifest;
  let checkpoint;
  let outside = [];
  try {
    manifest = await Manifest.read(source);
  } catch (error) {
    if (error instanceof NoExport) return new Report({ unknown: [error.message] });
    if (error instanceof CutOff) return withoutManifest(source, error.message, true);
    if (error instanceof Unproven) return withoutManifest(source, error.message, false);
    throw error;
  }
  try {
    checkpoint = manifest.note === null ? null : await Checkpoint.open(manifest.note, verifiers);
    if (kept !== null) outside = await keptCheckpoints(kept, verifiers);
  } catch (error) {
    if (error instanceof CannotTell) return new Report({ unknown: [error.message] });
    if (!(error instanceof Unproven)) throw error;
    if (error instanceof AnotherLog && manifest.intact) return new Report({ unknown: [`${error.message}: give the key of that log`] });
    return withoutManifest(source, error.message, false);
  }
  if (!manifest.intact && !(await beginsAsTold(source, manifest))) {
    return withoutManifest(source, "the manifest, the last line, was altered", false);
  }
  return new FileVerification(source, manifest, checkpoint, outside, progress).run(verifiers);
}

/** Whether the first entry stands where the manifest says: of one that was spoilt even that is not sure. */
async function beginsAsTold(source, manifest) {
  const lines = linesOf(source, manifest.begin);
  const entry = entryOf((await lines.next()).value ?? new Uint8Array());
  return entry === null || equal(entry.get("position"), manifest.first);
}

/** What can be told of a file whose end says nothing: where the run of its entries breaks off. */
async function withoutManifest(source, what, cutOff) {
  const report = new Report();
  let examiner = null;
  for await (const line of linesOf(source, source.size)) {
    if (find(line.subarray(0, MANIFEST.length), MANIFEST) === 0) {
      cutOff = false; // a line end came into it: it is there, and spoilt
      break;
    }
    try {
      if (examiner === null) {
        const entry = entryOf(line);
        if (entry === null) break;
        report.first = Number(entry.get("position"));
        examiner = new Examiner(report.first - 1);
      }
      examiner.take(line.subarray(0, -1));
    } catch (error) {
      if (error instanceof Broken) break;
      throw error;
    }
    report.entries++;
  }
  report.last = examiner === null ? 0 : examiner.position;
  report.add(cutOff ? report.last + 1 : null, what);
  return report;
}

/** One file, its manifest read, its checkpoint found genuine (null: it has none). */
class FileVerification {
  constructor(source, manifest, checkpoint, kept, progress) {
    this.manifest = manifest;
    this.checkpoint = checkpoint;
    this.kept = kept;
    this.lines = new Lines(source, manifest, progress);
    // a manifest that was spoilt is no measure of the entries: that it was is told at the end
    this.matching = new Matching(manifest.intact ? manifest.filters : new Map());
    this.tenant = manifest.intact ? manifest.tenant : null;
    this.last = manifest.intact ? manifest.last : 0;
    this.openings = new Openings();
    this.seals = null;
    this.histories = null;
    this.report = new Report({ checkpoint, first: manifest.first });
  }

  /** Reads the file to its end and tells what was found. */
  async run(verifiers) {
    await this.checkManifest(verifiers);
    if (this.manifest.run !== null && this.checkpoint !== null) await this.verifyRun(this.manifest.run, this.checkpoint);
    else await this.verifyPart();
    this.checkEnds();
    this.compareManifest();
    if (!this.report.findings.length && this.checkpoint !== null) {
      this.tellProven();
      this.report.remarks.push(...this.openings.remarks());
    }
    return this.report;
  }

  /** What the manifest says of itself: who signed it, of whose trail and by which filters it is. */
  async checkManifest(verifiers) {
    const { manifest, checkpoint, report } = this;
    try {
      await manifest.checkSignature(verifiers);
    } catch (error) {
      if (!(error instanceof Unproven)) throw error;
      report.add(null, `the manifest, the last line, was altered: ${error.message}`);
    }
    if (checkpoint !== null && !checkpoint.origin.endsWith(`/${manifest.tenant}`)) {
      report.add(null, `the manifest tells of the tenant ${quoted(manifest.tenant)}, its checkpoint is one of ${checkpoint.origin}`);
    }
    const { unknown } = this.matching;
    if (unknown.length) report.add(null, `the manifest tells of filters that there are not: ${unknown.join(", ")}`);
    if (manifest.head < manifest.last) report.add(null, `the manifest tells of entries up to ${manifest.last} in a trail of ${manifest.head}`);
  }

  /** A run of positions begins and ends where its filters say; nothing lies before what the trail held. */
  checkEnds() {
    const { manifest, report } = this;
    if (manifest.intact && manifest.oldest !== null && report.entries && report.first < manifest.oldest) {
      report.add(report.first, `lies before position ${manifest.oldest}, where the trail began by the manifest`);
    }
    if (!(report.positionFree && manifest.intact && manifest.contiguous && report.entries)) return;
    const [first, last] = ends(manifest);
    if (first !== null && report.first !== first) {
      report.add(first, `is missing: by the manifest's filters the export begins here, not at ${report.first}`);
    } else if (last !== null && report.last > last) {
      report.add(last + 1, "stands behind the end that the manifest's filters and head tell of");
    } else if (last !== null && report.last < last) {
      report.add(report.last + 1, `is missing: by the manifest the export goes on to position ${last}`);
    } else if (manifest.run === null && this.checkpoint !== null) {
      report.add(null, "the manifest was altered: what proves a run of positions (run) was taken away");
    }
  }

  /** What was proven, each by its name; all lines are in order. */
  tellProven() {
    const { manifest, report } = this;
    const signed = manifest.signature !== null;
    if (manifest.run !== null) {
      report.proven.push(`genuine: each of the ${report.entries} entries was signed`);
      report.proven.push(`complete: nothing is missing between the positions ${report.first} and ${report.last}`);
      this.seals?.tell(report);
      if (!signed) report.remarks.push("the manifest itself is not signed: its filters, and how far the trail went, are not told");
    } else if (!report.unknown.length && report.entries) {
      report.proven.push(`genuine: each of the ${report.entries} entries was signed`);
      if (signed) report.proven.push(`complete: all that matches its filters up to position ${manifest.head}, by the signed manifest`);
      else report.unknown.push("completeness not told: nobody signed the manifest, so entries may have been left out");
    }
    if (report.proven.length || !report.entries) this.histories?.tell(report);
    if (!manifest.complete) {
      const told = manifest.oldest === null ? "" : ` position ${manifest.oldest}`;
      report.remarks.push(`what was archived before${told} is not in this file, by its manifest`);
    }
  }

  async verifyRun(run, checkpoint) {
    const { manifest, report } = this;
    const begin = manifest.first - 1;
    let rebuilt = null;
    try {
      rebuilt = new RangeProof(begin, run.left);
    } catch (error) {
      if (!(error instanceof Unproven)) throw error;
      report.add(null, `the manifest was altered: ${error.message}`);
    }
    const examiner = new Examiner(begin, this.tenant, new Seals(begin));
    this.seals = examiner.seals;
    const marks = [];
    const kept = new RootLine(this.kept.filter((each) => each.size > begin), "the checkpoint kept outside");
    const matching = manifest.filters.size && manifest.intact ? this.matching : null;
    try {
      for (let line = await this.lines.next(); line !== null; line = await this.lines.next()) {
        const { entry, leaf } = this.told(line, examiner.position + 1);
        examiner.take(leaf, entry);
        if (examiner.fault === null) {
          const wrong = this.openings.wrong(entry) ?? matching?.wrong(entry) ?? null;
          if (wrong !== null) examiner.fault = [examiner.position, wrong];
        }
        const digest = leafHash(leaf);
        marks.push(digest[0], digest[1], digest[2]);
        if (rebuilt !== null) {
          rebuilt.append(digest);
          if (kept.nextSize === examiner.position) kept.passBy(examiner.position, rebuilt.rootSoFar(), report);
        }
      }
    } catch (error) {
      if (!(error instanceof Broken || error instanceof Unproven)) throw error;
      report.add(examiner.position + 1, error.message);
    }
    await this.lines.readToEnd();
    report.last = examiner.position;
    report.entries = examiner.position - begin;
    const told = begin + Math.floor(run.marks.length / MARK);
    if (report.positionFree && report.last < Math.max(this.last, told)) {
      report.add(report.last + 1, "is missing: the file is cut off here");
    } else if (report.positionFree && report.last > told) {
      report.add(told + 1, "stands behind the end that the manifest tells of: its marks end before");
    }
    const differs = firstDifference(marks, run.marks);
    const atEnd = report.positionFree && rebuilt !== null;
    if (atEnd && givesRoot(rebuilt, run, checkpoint)) {
      if (differs !== null) report.add(null, "the manifest was altered: its marks are not those of the entries, which hold");
    } else if (differs !== null) {
      report.add(begin + 1 + differs, ALTERED);
    } else if (atEnd) {
      report.add(null, `the entries and the manifest do not give the root of the checkpoint at ${checkpoint.size}`);
    }
    if (examiner.fault !== null) report.add(...examiner.fault);
    this.holdAgainst(kept.toCome);
  }

  /** What a line tells, the bytes of it that were signed, and whether it was proven by itself.  Throws Broken, Unproven. */
  told(line, position) {
    if (line[line.length - 1] !== 10) throw new Broken("the end of its line was altered");
    const spelt = line.subarray(0, -1);
    if (this.checkpoint === null || find(line, PROOF) < 0) {
      const [entry, leaf] = part(spelt);
      return { entry, leaf, proven: false };
    }
    const [entry, proof, leaf] = attempt(
      () => {
        const told = parseJson(textOf(line));
        return [told, hashesOf(member(told, "proof")), bytesOf(leafOf(told))];
      },
      () => {
        throw new Broken(MALFORMED);
      },
    );
    if (!same(bytesOf(canonical(entry)), spelt)) throw new Broken(SPELLING);
    try {
      verifyInclusion(leafHash(leaf), position - 1, this.checkpoint.size, proof, this.checkpoint.root);
    } catch (error) {
      if (!(error instanceof Unproven)) throw error;
      throw new Unproven(`${ALTERED}, or its proof was altered`);
    }
    return { entry, leaf, proven: true };
  }

  /** What the file does not reach of the checkpoints kept outside. */
  holdAgainst(left) {
    const { report, checkpoint } = this;
    for (const kept of left) {
      if (checkpoint !== null && kept.size === checkpoint.size) {
        if (!same(kept.root, checkpoint.root)) report.add(null, `the checkpoint kept outside at ${kept.size} has another root than that of the file`);
      } else {
        report.unknown.push(
          `the checkpoint kept outside covers ${kept.size} entries, this file goes to ${report.last}: ` +
            "not told beyond its end (export again, then compare)",
        );
      }
    }
  }

  /** A part of a trail: each line must have its own proof. */
  async verifyPart() {
    const { manifest, report, lines } = this;
    try {
      this.histories = new Histories(manifest, this.checkpoint);
    } catch (error) {
      if (!(error instanceof Unproven)) throw error;
      report.add(null, error.message);
    }
    let unproven = 0;
    let revision = null;
    for (let line = await lines.next(); line !== null; line = await lines.next()) {
      const entry = entryOf(line);
      if (entry === null) {
        report.add(report.last + 1, `${MALFORMED} (line ${lines.count})`);
        break;
      }
      const position = Number(entry.get("position"));
      if (position <= report.last) {
        let least = position;
        for (let later = await lines.next(); later !== null; later = await lines.next()) {
          least = Math.min(least, Number(entryOf(later)?.get("position") ?? least));
        }
        report.add(least, `stands behind position ${report.last}: out of order, or a second time`);
        break;
      }
      let wrong = this.wrong(entry, position, report.last, revision);
      try {
        const told = this.told(line, position);
        if (!told.proven) unproven++;
        const beside = this.openings.wrong(told.entry) ?? this.histories?.gap(entry, position) ?? null;
        if (wrong === null && beside !== null) wrong = [position, beside];
      } catch (error) {
        if (!(error instanceof Broken || error instanceof Unproven)) throw error;
        wrong = [position, error.message];
      }
      if (wrong !== null) {
        report.add(...wrong);
        break;
      }
      if (!report.entries) report.first = position;
      report.last = position;
      revision = entry.get("revision");
      report.entries++;
    }
    await lines.readToEnd();
    if (report.positionFree && report.last < this.last) {
      if (manifest.contiguous || !report.last) report.add(report.last + 1, "is missing: the file is cut off here");
      else report.add(report.last, `is the last entry here; the manifest tells of entries up to ${this.last}: cut off behind it`);
    }
    if (!report.findings.length) this.histories?.judge(report);
    if (this.checkpoint === null) {
      report.unknown.push("the file has no checkpoint: the service that made it could not sign, so nothing is proven");
    } else if (unproven) {
      report.unknown.push(`${unproven} entries have no proof: a part of a trail is proven if it is exported with proofs=true`);
    }
    this.holdAgainst(this.kept);
  }

  /** At which position the entry that follows `before` shows that something is wrong, and what; null: nothing. */
  wrong(entry, position, before, revision) {
    const { manifest } = this;
    if (!manifest.intact) return null;
    if (!equal(entry.get("tenant"), manifest.tenant)) {
      return [position, `belongs to the tenant ${quoted(entry.get("tenant"))}, not to ${quoted(manifest.tenant)}`];
    }
    const contradicted = this.matching.wrong(entry);
    if (contradicted !== null) return [position, contradicted];
    const expected = before ? before + 1 : ends(manifest)[0];
    if (manifest.contiguous && expected !== null && position !== expected) return [expected, `is missing; position ${position} stands here`];
    if (manifest.oneResource && revision !== null && Number(entry.get("revision")) !== Number(revision) + 1) {
      return [position, `has revision ${shown(entry.get("revision"))} after ${shown(revision)}: entries between were left out`];
    }
    return null;
  }

  /** Count and sum, where the entries themselves hold: else they only repeat what was found. */
  compareManifest() {
    const { manifest, report, lines } = this;
    if (report.findings.length) return;
    const between = report.entries ? `between the positions ${report.first} and ${report.last}` : "";
    if (!manifest.intact) {
      report.add(null, "the manifest, the last line, was altered");
    } else if (lines.count !== manifest.count || (manifest.count && report.last !== manifest.last)) {
      report.add(null, `the manifest tells of ${manifest.count} entries up to ${manifest.last}; there are ${lines.count} ${between}`);
    } else if (toHex(lines.sum.digest()) !== manifest.sha256) {
      report.add(null, `the sum of the lines ${between} is not the manifest's sha256: the file or its manifest was altered`);
    }
  }
}

function givesRoot(rebuilt, run, checkpoint) {
  try {
    return run.size === checkpoint.size && same(rebuilt.root(run.size, run.right), checkpoint.root);
  } catch (error) {
    if (error instanceof Unproven) return false;
    throw error;
  }
}

// Seals: trees over all resources of a trail, whose roots are entries of it.  Where all entries are there each is recomputed; where
// an export has histories of resources, its manifest tells their lines in one (`Histories`).

import { bytesOf, fromBase64, same } from "./bytes.js";
import { attempt, MALFORMED } from "./examiner.js";
import { canonical } from "./json.js";
import { hashesOf } from "./manifest.js";
import { Frontier, leafHash, Unproven, verifyInclusion } from "./merkle.js";
import { before, equal, isWhole, Malformed, member, shown } from "./values.js";

const SEALED = 10600;
const LOOK_BACK = 500000;
const TOLD_OF_SEAL = "the manifest was altered: what it tells of a seal";

/** The tree that the state of an entry tells of; null where it tells of none. */
function readSeal(state) {
  if (!(state instanceof Map)) return null;
  const [size, root, upTo] = ["size", "root", "upTo"].map((name) => state.get(name));
  if (!isWhole(size) || !isWhole(upTo) || typeof root !== "string" || size < 0 || upTo < 0) return null;
  return attempt(
    () => {
      const digest = fromBase64(root);
      return digest.length === 32 ? { size: Number(size), root: digest, upTo: Number(upTo) } : null;
    },
    () => null,
  );
}

/** The leaf of a seal. */
function lineOf(resource, revision, position) {
  return bytesOf(`${resource}\n${revision}\n${position}\n`);
}

/** In order of the bytes in UTF-8, which is that of the code points. */
function inOrder(a, b) {
  const [ours, theirs] = [bytesOf(a), bytesOf(b)];
  const length = Math.min(ours.length, theirs.length);
  for (let at = 0; at < length; at++) {
    if (ours[at] !== theirs[at]) return ours[at] - theirs[at];
  }
  return ours.length - theirs.length;
}

/** Recomputes the seals among the entries behind position `after`, 0; else none.  The examiner gives it its `standings`, how it has the resources. */
export class Seals {
  constructor(after) {
    this.after = after;
    this.passedOver = 0;
    this.standings = new Map();
    this.moved = [];
    this.held = 0;
    this.tooFar = [];
  }

  /** Takes the position of the entry before of a resource that an entry was just applied to. */
  move(standing, position) {
    this.moved.push([standing, position]);
    if (this.moved.length >= 2 * LOOK_BACK) this.moved = this.moved.slice(-LOOK_BACK);
  }

  /** What is wrong with the entry at `position` if it is a seal; null: nothing. */
  wrong(entry, position) {
    if (!equal(member(entry, "action"), SEALED)) return null;
    const seal = readSeal(member(entry, "state"));
    if (seal === null || seal.upTo >= position) return "is a seal that tells of no position before it, or of no tree";
    if (this.after) {
      this.passedOver++;
      return null;
    }
    if (position - seal.upTo > LOOK_BACK) {
      this.tooFar.push(position);
      return null;
    }
    const undone = new Map();
    for (let at = this.moved.length - 1; at >= this.moved.length - (position - seal.upTo); at--) {
      const [standing, earlier] = this.moved[at];
      undone.set(standing, [(undone.get(standing)?.[0] ?? 0) + 1, earlier]);
    }
    const tree = new Frontier();
    const names = [...this.standings.keys()];
    if (names.some((name) => typeof name !== "string")) throw new Malformed("a name is missing");
    for (const resource of names.sort(inOrder)) {
      const standing = this.standings.get(resource);
      const [revisions, last] = undone.get(standing) ?? [0, standing.position];
      const revision = Number(standing.revision) - revisions;
      if (revision > 0) tree.append(leafHash(lineOf(resource, revision, last)));
    }
    if (tree.size !== seal.size || !same(tree.root(), seal.root)) {
      return `is a seal that is not of the entries up to ${seal.upTo}: it tells of other resources, revisions or positions`;
    }
    this.held++;
    return null;
  }

  /** Tells what was recomputed, and what could not be. */
  tell(report) {
    if (this.held) report.proven.push(`sealed: each of ${this.held} seals is that of the entries`);
    if (this.passedOver) {
      report.remarks.push(`${this.passedOver} seals were not recomputed: that takes what stands before position ${this.after + 1}`);
    }
    for (const position of this.tooFar) {
      report.unknown.push(`the seal at position ${position} goes up to more than ${LOOK_BACK} entries before it: not recomputed`);
    }
  }
}

function whole(value) {
  if (!isWhole(value) || value < 0 || value >= 2 ** 53) throw new Malformed("a number is missing");
  return Number(value);
}

/** The histories in an export whose manifest tells of a seal; throws Unproven where what it tells does not hold by itself. */
export class Histories {
  constructor(manifest, checkpoint) {
    this.manifest = manifest;
    this.seal = null;
    this.histories = new Map();
    this.told = manifest.ofHistories ? manifest.seal : null;
    if (this.told === null || checkpoint === null || !manifest.intact || this.told.has("untold")) return;
    attempt(
      () => this.open(this.told, checkpoint),
      () => {
        throw new Unproven(`${TOLD_OF_SEAL} is malformed`);
      },
    );
  }

  open(told, checkpoint) {
    const { manifest } = this;
    const entry = member(told, "entry");
    this.at = whole(member(entry, "position"));
    try {
      verifyInclusion(leafHash(bytesOf(canonical(entry))), this.at - 1, checkpoint.size, hashesOf(member(told, "proof")), checkpoint.root);
    } catch (error) {
      if (!(error instanceof Unproven)) throw error;
      throw new Unproven(`${TOLD_OF_SEAL} is not in the log: ${error.message}`);
    }
    const seal = readSeal(member(entry, "state"));
    const of = [["tenant", manifest.tenant], ["resource", `trail/${manifest.tenant}`], ["action", SEALED]];
    if (seal === null || !of.every(([name, value]) => equal(member(entry, name), value)) || seal.upTo >= this.at) {
      throw new Unproven(`${TOLD_OF_SEAL} is of an entry that is no seal of this trail`);
    }
    const [until, end] = ["to", "before"].map((name) => manifest.filters.get(name) ?? null);
    if (
      this.at > manifest.head ||
      (end !== null && !before(this.at, end)) ||
      (until !== null && !before(member(entry, "recordedAt"), until))
    ) {
      throw new Unproven(`${TOLD_OF_SEAL} lies behind the end of the export`);
    }
    this.lines = listOf(member(told, "lines")).map((line) => this.line(line));
    for (const { resource, revision, position, index, proof } of this.lines) {
      try {
        verifyInclusion(leafHash(lineOf(resource, revision, position)), index, seal.size, proof, seal.root);
      } catch (error) {
        if (!(error instanceof Unproven)) throw error;
        throw new Unproven(`${TOLD_OF_SEAL} is not in the seal, of ${resource}: ${error.message}`);
      }
    }
    this.seal = seal;
  }

  line(told) {
    const resource = member(told, "resource");
    if (typeof resource !== "string") throw new Malformed("a text is missing");
    const [revision, position, index] = ["revision", "position", "index"].map((name) => whole(member(told, name)));
    return { resource, revision, position, index, proof: hashesOf(member(told, "proof")) };
  }

  /** Takes the next entry; what of its history was left out before it, null: nothing as far as the others tell. */
  gap(entry, position) {
    if (this.seal === null) return null;
    const resource = entry.get("resource");
    if (typeof resource !== "string") return MALFORMED;
    const revision = Number(entry.get("revision"));
    let history = this.histories.get(resource);
    if (history === undefined) {
      history = { first: revision, firstPosition: position, newest: 0, revision: 0, position: 0 };
      this.histories.set(resource, history);
    } else if (revision !== history.newest + 1) {
      return `has revision ${revision} after ${history.newest}: entries between were left out`;
    }
    history.newest = revision;
    if (position <= this.seal.upTo) Object.assign(history, { revision, position });
    return null;
  }

  /** Adds what the seal contradicts, at the position where it does. */
  judge(report) {
    if (this.seal === null) return;
    for (const resource of this.resources()) {
      const wrong = this.contradicted(resource);
      if (wrong !== null) report.add(...wrong);
    }
  }

  /** Tells what the seal shows, where nothing contradicts it. */
  tell(report) {
    if (this.told !== null && this.told.has("untold")) {
      report.remarks.push(`no seal shows whether a history is whole: ${shown(this.told.get("untold"))}`);
    }
    if (this.seal === null) return;
    const resources = this.resources();
    const whose = resources.length === 1 ? resources[0] : `${resources.length} resources`;
    const by = `the seal at position ${this.at}`;
    if (!report.entries) {
      const had = this.lines.some((line) => resources.includes(line.resource));
      const was = had ? "all entries lie before those that were asked for" : "there were no entries";
      report.remarks.push(`by ${by} ${was} of ${whose} up to position ${this.seal.upTo}`);
      return;
    }
    const fromFirst = resources.every((resource) => (this.histories.get(resource)?.first ?? 1) === 1);
    const since = fromFirst && !this.bounded ? "" : " from its first entry here on";
    report.proven.push(`complete as of ${by}: nothing of ${whose} is missing${since} up to position ${this.seal.upTo}`);
  }

  /** Whether what was asked for, or what was held, need not begin with the first entry. */
  get bounded() {
    const { filters, oldest } = this.manifest;
    return filters.has("after") || filters.has("from") || (oldest || 1) > 1;
  }

  resources() {
    const { filters } = this.manifest;
    const named = [];
    if (filters.has("objectId")) named.push(`object/${shown(filters.get("objectId"))}`);
    if (filters.has("resource")) named.push(shown(filters.get("resource")));
    return [...new Set([...named, ...this.histories.keys()])].sort(inOrder);
  }

  /** What the seal contradicts of a history, and at which position; null: nothing. */
  contradicted(resource) {
    const { upTo } = this.seal;
    const [revision, position] = this.sealed(resource);
    const by = `by the seal at position ${this.at} ${resource} had ${revision} revisions up to position ${upTo}`;
    const history = this.histories.get(resource) ?? { first: 0, firstPosition: 0, newest: 0, revision: 0, position: 0 };
    if (revision < 0) return [null, `${TOLD_OF_SEAL} does not say how ${resource} stands in it`];
    if (history.revision > revision) return [history.position, `has revision ${history.revision}: ${by}`];
    if (history.revision === revision && position !== 0 && position !== history.position) {
      return [history.position, `has revision ${revision}, which ${by}, the last at position ${position}`];
    }
    if (history.revision < revision && (history.revision || !this.beforeBegin(position))) {
      return [position || null, `is missing: ${by}, and the last of them in the file is ${history.revision || "none"}`];
    }
    if (history.first > 1 && !this.bounded) return [history.firstPosition, `has revision ${history.first}: entries before it were left out`];
    if (history.first && !history.revision && this.hasFrom(upTo) && history.first !== revision + 1) {
      return [history.firstPosition, `has revision ${history.first}: ${by}`];
    }
    return null;
  }

  /** Revision and position of a resource's line; [0, 0] where its neighbours show that there is none, [-1, 0]: not told. */
  sealed(resource) {
    let left = -1;
    let right = this.seal.size;
    for (const line of this.lines) {
      const order = inOrder(line.resource, resource);
      if (order === 0) return [line.revision, line.position];
      if (order < 0) left = Math.max(left, line.index);
      else right = Math.min(right, line.index);
    }
    return right === left + 1 ? [0, 0] : [-1, 0];
  }

  /** Whether an entry lies before what was asked for, or before what was held. */
  beforeBegin(position) {
    const { filters, oldest } = this.manifest;
    if (filters.has("from") || position < (oldest || 1)) return true;
    const after = filters.get("after");
    return isWhole(after) && position <= after;
  }

  /** Whether all that stands behind the position was asked for, and held. */
  hasFrom(position) {
    const { filters, oldest } = this.manifest;
    const after = filters.get("after") ?? 0;
    return !filters.has("from") && isWhole(after) && after <= position && (oldest || 1) <= position + 1;
  }
}

function listOf(value) {
  if (!Array.isArray(value)) throw new Malformed("a list is missing");
  return value;
}

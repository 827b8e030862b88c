// What a verification found.

import { same } from "./bytes.js";

export const HOLDS = 0;
export const FAILS = 1;
export const NOT_LOOKED = 2;

/** The outcome: what was looked at, what of it was proven, what does not hold, and what could not be told. */
export class Report {
  constructor(members = {}) {
    Object.assign(this, { entries: 0, first: 0, last: 0, checkpoint: null, proven: [], findings: [], unknown: [], remarks: [] }, members);
  }

  /** Adds something that does not hold: at which position (null: not at one), and what. */
  add(position, what) {
    this.findings.push({ position, what });
  }

  /** The outcome in words. */
  get verdict() {
    if (this.findings.length) return "DOES NOT HOLD";
    return [this.status === NOT_LOOKED ? "not proven" : "holds", ...this.proven].join("; ");
  }

  /** Whether nothing was found at any position so far. */
  get positionFree() {
    return this.findings.every((finding) => finding.position === null);
  }

  /** The finding at the first bad position; one that is at no position only where there is no other. */
  get worst() {
    const placed = this.findings.filter((finding) => finding.position !== null);
    const [first, ...others] = placed.length ? placed : this.findings;
    return others.reduce((least, other) => (other.position !== null && other.position < least.position ? other : least), first) ?? null;
  }

  /** 0: all holds; 1: something does not; 2: it could not be told. */
  get status() {
    if (this.findings.length) return FAILS;
    return this.unknown.length || !this.entries ? NOT_LOOKED : HOLDS;
  }
}

/** Compares the roots of a tree that is being rebuilt with those of checkpoints, which come in order of size. */
export class RootLine {
  constructor(checkpoints, whose) {
    this.toCome = [...checkpoints];
    this.whose = whose;
    this.good = 0;
  }

  /** The size at which the next comparison is due; -1: none is. */
  get nextSize() {
    return this.toCome.length ? this.toCome[0].size : -1;
  }

  /** Takes the root of the rebuilt tree at `size`, which is `nextSize`. */
  passBy(size, root, report) {
    if (same(this.toCome[0].root, root)) {
      this.good = size;
      this.toCome.shift();
    } else {
      report.add(null, `the entries ${this.good + 1} to ${size} are not those of ${this.whose} at ${size}`);
      this.toCome = [];
    }
  }
}

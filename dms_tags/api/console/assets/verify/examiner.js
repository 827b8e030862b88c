// Entries in order of position: are they dense, does each resource's history add up, does time run forwards, do they match.

import { textOf } from "./bytes.js";
import { GivenTwice, parseJson } from "./json.js";
import { amount, asName, before, equal, isWhole, Malformed, member, plus, quoted, shown } from "./values.js";

export const MALFORMED = "is no entry of an audit trail";
const REMOVALS = [210, 10210];

/** The run of entries ends here: what follows cannot be told apart any more. */
export class Broken extends Error {}

/** What `work` gives; `otherwise` what to do where it meets something that is not as it has to be. */
export function attempt(work, otherwise) {
  try {
    return work();
  } catch (error) {
    // TypeError: no UTF-8; RangeError: no Unicode
    if ([Malformed, SyntaxError, TypeError, RangeError, GivenTwice].some((kind) => error instanceof kind)) return otherwise();
    throw error;
  }
}

/** The entry of a line by itself, null where it is none. */
export function entryOf(line) {
  return attempt(
    () => {
      const entry = parseJson(textOf(line), { once: true });
      const [position, revision] = ["position", "revision", "resource", "tenant"].map((name) => member(entry, name));
      return isWhole(position) && isWhole(revision) && position > 0 ? entry : null;
    },
    () => null,
  );
}

/** Takes the entries of one tenant's trail, from the one behind position `after` on, each with its canonical JSON; `seals` recomputes. */
export class Examiner {
  constructor(after = 0, tenant = null, seals = null) {
    this.position = after;
    this.fault = null;
    this.tenant = tenant;
    this.standings = new Map();
    this.whole = after === 0;
    this.seals = seals;
    if (seals !== null) seals.standings = this.standings;
    this.newest = "";
  }

  /** Takes the next entry, `told` where its leaf was read already; throws Broken where it is none, or not the next. */
  take(leaf, told = null) {
    const fail = () => {
      throw new Broken(MALFORMED);
    };
    const entry = told ?? attempt(() => parseJson(textOf(leaf)), fail);
    const [position, resource, recorded] = attempt(() => ["position", "resource", "recordedAt"].map((name) => member(entry, name)), fail);
    this.tenant ??= attempt(() => member(entry, "tenant"), fail);
    const expected = this.position + 1;
    if (position !== expected) throw new Broken(notNext(position, expected));
    if (this.fault === null) {
      const wrong = attempt(
        () => this.apply(entry, asName(resource)) ?? this.misplaced(entry, recorded) ?? this.seals?.wrong(entry, expected) ?? null,
        fail,
      );
      this.newest = recorded;
      if (wrong !== null) this.fault = [expected, wrong];
    }
    this.position = expected;
  }

  misplaced(entry, recorded) {
    return before(recorded, this.newest) ? `recordedAt runs backwards, from ${this.newest} to ${shown(recorded)}` : null;
  }

  apply(entry, resource) {
    let standing = this.standings.get(resource);
    if (standing === undefined) {
      standing = { revision: this.whole ? 0 : plus(member(entry, "revision"), -1), tags: new Map(), position: 0, met: new Set() };
      this.standings.set(resource, standing);
    }
    const name = asName(member(entry, "name"));
    if (!this.whole && !standing.met.has(name)) {
      standing.met.add(name);
      if (member(entry, "previousTraceId") !== null) {
        standing.tags.set(name, { state: member(entry, "previousState"), trace: member(entry, "previousTraceId") });
      }
    }
    this.seals?.move(standing, standing.position);
    const wrong = step(standing, entry, name);
    standing.position = this.position + 1;
    if (equal(member(entry, "tenant"), this.tenant)) return wrong;
    return `belongs to the tenant ${quoted(member(entry, "tenant"))}, not to ${quoted(this.tenant)}`;
  }
}

/** Takes one entry of a resource, in order of revision; says what is wrong with it, null where nothing is. */
function step(standing, entry, name) {
  const earlier = standing.tags.get(name) ?? null;
  const revision = member(entry, "revision");
  const resource = shown(member(entry, "resource"));
  let wrong = null;
  if (!equal(revision, plus(standing.revision, 1))) {
    wrong = `${resource} has revision ${shown(revision)} after ${shown(standing.revision)}`;
  } else if (
    !equal(member(entry, "previousState"), earlier && earlier.state) ||
    !equal(member(entry, "previousTraceId"), earlier && earlier.trace)
  ) {
    wrong = `${resource} revision ${shown(revision)} tells another previous state than the entry before it left`;
  } else if (removes(entry) && earlier === null) {
    wrong = `${resource} revision ${shown(revision)} removes a tag that is not there`;
  }
  standing.revision = revision;
  if (removes(entry)) {
    standing.tags.delete(name);
  } else {
    member(entry, "creationDate");
    standing.tags.set(name, { state: member(entry, "state"), trace: member(entry, "traceId") });
  }
  return wrong;
}

function removes(entry) {
  const action = member(entry, "action");
  return REMOVALS.some((code) => equal(action, code));
}

function notNext(position, expected) {
  if (!isWhole(position) && typeof position !== "boolean") return MALFORMED;
  if (amount(position) > expected) return `is missing; position ${shown(position)} stands here`;
  return `is missing; position ${shown(position)} stands here, a second time or out of order`;
}

const CHECKS = {
  objectId: (entry, value) => equal(member(entry, "resource"), `object/${shown(value)}`),
  resource: (entry, value) => equal(member(entry, "resource"), value),
  within: (entry, value) => equal(member(entry, "within"), value),
  name: (entry, value) => equal(member(entry, "name"), value),
  action: (entry, value) => Array.isArray(value) && value.some((each) => equal(member(entry, "action"), each)),
  state: (entry, value) => shown(member(entry, "state")) === shown(value),
  traceId: (entry, value) => bare(member(entry, "traceId")) === bare(value),
  createdBy: (entry, value) => equal(member(entry, "createdBy"), value),
  from: (entry, value) => !before(member(entry, "recordedAt"), value),
  to: (entry, value) => before(member(entry, "recordedAt"), value),
  after: (entry, value) => before(value, member(entry, "position")),
  before: (entry, value) => before(member(entry, "position"), value),
};

function bare(traceId) {
  return shown(traceId).replace(/^0+/, "");
}

/** The filters of a manifest; `unknown` names those that say nothing, since no service ever wrote them. */
export class Matching {
  constructor(filters) {
    this.unknown = [...filters.keys()].filter((name) => !Object.hasOwn(CHECKS, name)).sort();
    this.checks = [...filters].filter(([name]) => Object.hasOwn(CHECKS, name));
  }

  /** What of the filters the entry contradicts; null where it matches all. */
  wrong(entry) {
    for (const [name, value] of this.checks) {
      const fits = attempt(() => CHECKS[name](entry, value), () => false);
      if (!fits) return `does not match the filter ${name}=${shown(value)} that the manifest tells of`;
    }
    return null;
  }
}

/** Where a run of positions must begin and end by its manifest; null where its filters leave it open. */
export function ends(manifest) {
  const { filters } = manifest;
  const [after, until] = ["after", "before"].map((name) => filters.get(name) ?? null);
  let first = null;
  if (isWhole(after) && !filters.has("from")) first = plus(after, 1);
  else if (!filters.has("after") && !filters.has("from")) first = manifest.oldest || (manifest.complete ? 1 : null);
  let last = filters.has("to") ? null : manifest.head;
  if (last !== null && until !== null) last = isWhole(until) ? Math.min(last, Number(until) - 1) : null;
  return [first, last];
}

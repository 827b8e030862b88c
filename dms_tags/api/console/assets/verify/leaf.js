// What of an entry was signed, by the schema that it was written with (API.md section 2), and what stands beside that in a line.

import { bytesOf, fromBase64, same, textOf, toBase64 } from "./bytes.js";
import { attempt, Broken, MALFORMED } from "./examiner.js";
import { canonical, parseJson } from "./json.js";
import { sha256 } from "./sha256.js";
import { equal, member } from "./values.js";

export const SPELLING = "is not spelt in canonical JSON";

/** What a line of schema 2 has besides its leaf, in canonical order: none is its first member, and none its last. */
const PARTED = ["actorKey", "createdBy", "erased", "reason", "reasonKey"];
const ERASABLE = ["createdBy", "reason"];
const ERASED = { createdBy: "the actor's name", reason: "the reason" };
const KEY_BYTES = 32;
const REMEMBERED = 10000;

/** The canonical JSON of the leaf of an entry, which may have what an export adds to it. */
export function leafOf(entry) {
  const beside = equal(member(entry, "schema"), 1) ? ["proof"] : [...PARTED, "proof"];
  return canonical(new Map([...entry].filter(([name]) => !beside.includes(name))));
}

/** The members of a line without its end, and its leaf: the line less what stands beside.  Throws Broken. */
export function part(line) {
  return attempt(
    () => {
      let text = textOf(line);
      const entry = parseJson(text);
      if (equal(member(entry, "schema"), 1)) return [entry, line];
      if (member(entry, "previousState") instanceof Map) {
        // a state that is a document may have members of these names, so what stands where is not told by looking for it
        if (!same(bytesOf(canonical(entry)), line)) throw new Broken(SPELLING);
        return [entry, bytesOf(leafOf(entry))];
      }
      for (const name of PARTED) {
        const spelt = `"${name}":${canonical(member(entry, name))},`;
        const at = text.indexOf(spelt);
        if (at < 0 || at + spelt.length === text.length) throw new Broken(SPELLING);
        text = text.slice(0, at) + text.slice(at + spelt.length);
      }
      return [entry, bytesOf(text)];
    },
    () => {
      throw new Broken(MALFORMED);
    },
  );
}

/** Holds the names and reasons of entries against their commitments; `erased` counts what was erased, by member. */
export class Openings {
  constructor() {
    this.erased = new Map();
    this.good = new Map();
  }

  /** What of an exported entry is not what was committed to; null: all is. */
  wrong(entry) {
    return attempt(
      () => {
        if (equal(member(entry, "schema"), 1)) return null;
        const erased = member(entry, "erased");
        if (erased !== null && !(Array.isArray(erased) && erased.length && erased.every((each) => ERASABLE.includes(each)))) {
          return "tells of something else than its name or reason that it was erased";
        }
        return (
          this.beside(entry, "createdBy", "actorCommitment", "actorKey") ?? this.beside(entry, "reason", "reasonCommitment", "reasonKey")
        );
      },
      () => MALFORMED,
    );
  }

  /** What is to be said of it in the end. */
  remarks() {
    return [...this.erased].sort().map(([name, count]) => `of ${count} entries ${ERASED[name]} was erased; their commitments hold`);
  }

  beside(entry, name, committed, keyed) {
    const [text, promised, key] = [name, committed, keyed].map((each) => member(entry, each));
    const gone = (member(entry, "erased") ?? []).includes(name);
    if (text === null) {
      if (key !== null) return `has a ${keyed} and no ${name}`;
      if (gone) {
        this.erased.set(name, (this.erased.get(name) ?? 0) + 1);
        return promised === null ? `had no ${name} that could be erased` : null;
      }
      return promised === null ? null : `its ${name} was taken away, and nothing says that it was erased`;
    }
    if (gone) return `has a ${name} that it tells was erased`;
    if ([text, key, promised].some((each) => typeof each !== "string")) {
      return `its ${name} cannot be held against the log: ${keyed} or ${committed} was taken away`;
    }
    return this.commitment(key, text) === promised ? null : `its ${name} is not the one that was committed to when it was written`;
  }

  commitment(key, text) {
    const known = this.good.get(`${key} ${text}`);
    if (known !== undefined) return known;
    let made = null;
    try {
      const bytes = fromBase64(key);
      if (bytes.length === KEY_BYTES) made = toBase64(hmac(bytes, bytesOf(text)));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
    if (made !== null && this.good.size < REMEMBERED) this.good.set(`${key} ${text}`, made);
    return made;
  }
}

/** HMAC-SHA-256 (RFC 2104) under a key that is no longer than a block. */
function hmac(key, text) {
  const padded = new Uint8Array(64);
  padded.set(key);
  const [inner, outer] = [0x36, 0x5c].map((pad) => padded.map((byte) => byte ^ pad));
  return sha256(outer, sha256(inner, text));
}

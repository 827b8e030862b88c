// The manifest of an exported file: its last line, which says what the lines before are.

import { beginsWith, bytesOf, find, findLast, fromBase64, joined, same, textOf, toHex } from "./bytes.js";
import { canonical, GivenTwice, parseJson } from "./json.js";
import { Unproven } from "./merkle.js";
import { openNote } from "./note.js";
import { sha256 } from "./sha256.js";
import { equal, isWhole, Malformed, member } from "./values.js";

/** Bytes of an entry's hash that a manifest keeps. */
export const MARK = 3;
export const MANIFEST = bytesOf('{"manifest":');
const TOTAL = bytesOf(',"total":"');
const RUN_FILTERS = ["from", "to", "after", "before"];
const RESOURCE_FILTERS = ["objectId", "resource"];
const UNSIGNED = ["run", "total", "signature", "lines"];
const COMPRESSED = [[0x1f, 0x8b], [0x28, 0xb5, 0x2f, 0xfd], [0x50, 0x4b, 0x03, 0x04], [0x42, 0x5a, 0x68], [0xfd, 0x37, 0x7a, 0x58, 0x5a]];

/** The file does not end with a manifest. */
export class CutOff extends Error {}

/** The file is nothing that could be looked at: empty, or compressed. */
export class NoExport extends Error {}

/** The last line of an export; throws Unproven where it is malformed. */
export class Manifest {
  constructor(document, begin, line) {
    const at = findLast(line, TOTAL);
    const [text, total] = at < 0 ? [line.subarray(0, 0), line] : [line.subarray(0, at), line.subarray(at + TOTAL.length)];
    this.intact = same(total, bytesOf(`${toHex(sha256(text))}"}}\n`));
    this.begin = begin;
    try {
      [this.count, this.first, this.last, this.head] = ["count", "first", "last", "head"].map((name) => count(member(document, name)));
      this.sha256 = text_(member(document, "sha256"));
      this.lines = textOrNull(document.get("lines"));
      this.tenant = text_(member(document, "tenant"));
      this.filters = mapping(member(document, "filters"));
      this.note = textOrNull(member(document, "checkpoint"));
      this.signature = textOrNull(document.get("signature"));
      this.oldest = document.has("oldest") ? count(document.get("oldest")) : null;
      this.complete = !document.has("complete") || document.get("complete") === true;
      const run = document.get("run") ?? null;
      this.run = run === null ? null : new Run(mapping(run));
      this.seal = document.has("seal") ? mapping(document.get("seal")) : null;
      this.signedText = signedText(document);
    } catch (error) {
      if (!(error instanceof Malformed || error instanceof RangeError)) throw error;
      throw new Unproven(`the manifest is malformed: ${error.message}`);
    }
    const given = [...this.filters.keys()].filter((name) => !RUN_FILTERS.includes(name));
    /** Whether its filters ask for a run of positions. */
    this.contiguous = !given.length;
    /** Whether it has whatever there is of the resources that it is of, in the range of a run. */
    this.ofHistories = given.length > 0 && (given.every((name) => RESOURCE_FILTERS.includes(name)) || equal(given, ["within"]));
    /** Whether it is of one resource, whose revisions then are dense. */
    this.oneResource = given.length > 0 && given.every((name) => RESOURCE_FILTERS.includes(name));
  }

  /** Throws Unproven unless one of the logs' keys has signed it, under the name of the log's manifests. */
  async checkSignature(verifiers) {
    if (this.signature === null) return;
    await openNote(`${this.signedText}\n${this.signature}\n`, verifiers.map((verifier) => verifier.called(`${verifier.name}/manifest`)));
  }

  /** The manifest of a file; throws CutOff where there is none, Unproven where it is spoilt, NoExport. */
  static async read(source) {
    const start = await source.read(0, Math.min(6, source.size));
    if (!start.length) throw new NoExport("the file is empty: there is nothing to look at");
    if (COMPRESSED.some((magic) => beginsWith(start, magic))) throw new NoExport("the file is compressed: decompress it first");
    let [begin, line] = await lastLine(source);
    const glued = find(line, MANIFEST);
    if (glued > 0) [begin, line] = [begin + glued, line.subarray(glued)]; // the end of the line before was altered
    let manifest;
    try {
      const document = parseJson(textOf(line), { once: true, words: false });
      manifest = mapping(member(document, "manifest"));
      if (document.size > 1) throw new Unproven("the manifest, the last line, has members beside it");
    } catch (error) {
      if (error instanceof Unproven) throw error;
      if (error instanceof GivenTwice) throw new Unproven("the manifest, the last line, has a member twice");
      if (beginsWith(line, MANIFEST) || (find(line, bytesOf('"sha256":')) >= 0 && find(line, bytesOf('"checkpoint":')) >= 0)) {
        throw new Unproven("the manifest, the last line, was altered: it cannot be read");
      }
      throw new CutOff("the file is cut off: its last line is no manifest");
    }
    if (line[line.length - 1] !== 10) throw new Unproven("the manifest, the last line, is cut off");
    return new Manifest(manifest, begin, line);
  }
}

/** What a manifest says about a run of entries with nothing left out. */
class Run {
  constructor(document) {
    this.size = count(member(document, "size"));
    this.left = hashesOf(member(document, "left"));
    this.right = hashesOf(member(document, "right"));
    this.marks = fromBase64(text_(member(document, "marks")));
  }
}

function signedText(document) {
  const members = new Map([...document].filter(([name]) => !UNSIGNED.includes(name)));
  if (document.has("lines")) members.set("sha256", document.get("lines"));
  return `${canonical(members)}\n`;
}

async function lastLine(source) {
  let begin = source.size;
  let tail = new Uint8Array();
  for (let step = 65536; begin > 0; step *= 2) {
    const from = Math.max(0, begin - step);
    tail = joined(await source.read(from, begin), tail);
    begin = from;
    const at = tail.length > 1 ? tail.lastIndexOf(10, tail.length - 2) : -1;
    if (at >= 0) return [begin + at + 1, tail.subarray(at + 1)];
  }
  return [0, tail];
}

function count(value) {
  if (!isWhole(value) || value < 0 || value >= 2 ** 63) throw new Malformed("a number is missing");
  return Number(value);
}

function text_(value) {
  if (typeof value !== "string") throw new Malformed("a text is missing");
  return value;
}

function textOrNull(value) {
  return value === null || value === undefined ? null : text_(value);
}

function mapping(value) {
  if (!(value instanceof Map)) throw new Malformed("an object is missing");
  return value;
}

/** Hashes that are spelt in base64; throws RangeError, Malformed. */
export function hashesOf(texts) {
  if (!Array.isArray(texts)) throw new Malformed("hashes are missing");
  const hashes = texts.map(fromBase64);
  if (hashes.some((digest) => digest.length !== 32)) throw new RangeError("a hash of another length");
  return hashes;
}

/** The number of the first entry whose marks differ; null where those that both have are equal. */
export function firstDifference(ours, theirs) {
  const common = Math.floor(Math.min(ours.length, theirs.length) / MARK) * MARK;
  for (let at = 0; at < common; at++) {
    if (ours[at] !== theirs[at]) return Math.floor(at / MARK);
  }
  return null;
}

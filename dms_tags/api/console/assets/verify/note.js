// C2SP signed notes with Ed25519 and the checkpoints in them (c2sp.org/signed-note, c2sp.org/tlog-checkpoint).

import { beginsWith, bytesOf, fromBase64, same, toBase64, toHex } from "./bytes.js";
import { Unproven } from "./merkle.js";
import { sha256 } from "./sha256.js";

const ED25519 = 1;
const DASH = "\u2014 ";
const MAX_NOTE = 64000;
const SPACE = /[\s\u001c-\u001f\u0085]/;
const CONTROL = /[\u0000-\u001f]/;

/** What was given to verify with, or the file, says nothing; the message says why, and what to do. */
export class CannotTell extends Error {}

/** The checkpoint is one of a log that none of the keys belongs to. */
export class AnotherLog extends Unproven {}

/** A key that signatures are checked with: the name it signs under and its 32 public bytes. */
export class Verifier {
  constructor(name, key) {
    this.name = name;
    this.key = key;
    this.id = sha256(bytesOf(`${name}\n`), Uint8Array.of(ED25519), key).subarray(0, 4);
  }

  /** The key that a line spells; throws Unproven for anything else. */
  static parse(line) {
    const parts = line.trim().split("+");
    const [name, id = ""] = parts;
    let decoded = new Uint8Array();
    try {
      decoded = fromBase64(parts.slice(2).join("+"));
    } catch {
      // told below
    }
    if (!validName(name) || decoded.length !== 33 || decoded[0] !== ED25519) {
      throw new Unproven("this is no Ed25519 verifier key, <name>+<key id>+<key>");
    }
    const verifier = new Verifier(name, decoded.subarray(1));
    if (toHex(verifier.id) !== id) throw new Unproven(`the verifier key of ${name} does not have the key id ${id}`);
    return verifier;
  }

  /** Whether the signature is this key's over the text; by WebCrypto. */
  async verify(text, signature) {
    const key = await crypto.subtle.importKey("raw", this.key, "Ed25519", false, ["verify"]);
    return crypto.subtle.verify("Ed25519", key, signature, bytesOf(text));
  }

  /** The same key under another name, so that it has another key id. */
  called(name) {
    return new Verifier(name, this.key);
  }

  toString() {
    return `${this.name}+${toHex(this.id)}+${toBase64(Uint8Array.of(ED25519, ...this.key))}`;
  }
}

/** The verifier keys in a text, one a line. */
export function readKeys(text) {
  return text.split("\n").filter((line) => line.trim()).map((line) => Verifier.parse(line));
}

function validName(name) {
  return name !== "" && !name.includes("+") && !SPACE.test(name) && !CONTROL.test(name);
}

function either(verifiers) {
  return verifiers.map((verifier) => verifier.name).join(" or ");
}

/** The notes in a text, one note or a witness file that notes were appended to. */
export function notesIn(text) {
  const lines = text.split("\n");
  const notes = [];
  lines.forEach((line, number) => {
    if (!line.startsWith(DASH) || lines[number - 1]?.startsWith(DASH)) return;
    let begin = number - 1;
    let end = number;
    while (begin > 0 && lines[begin - 1]) begin--;
    while (end < lines.length && lines[end].startsWith(DASH)) end++;
    notes.push([...lines.slice(begin, end), ""].join("\n"));
  });
  return notes;
}

/** The text of a note that at least one of the verifiers must have signed; throws Unproven. */
export async function openNote(note, verifiers) {
  const gap = note.lastIndexOf("\n\n");
  const tail = note.slice(gap + 2);
  if (note.length > MAX_NOTE || gap < 0 || !tail.endsWith("\n") || CONTROL.test(note.replaceAll("\n", ""))) {
    throw new Unproven("this is no signed note: a text, an empty line, signatures");
  }
  const text = `${note.slice(0, gap)}\n`;
  let signed = false;
  for (const line of tail.slice(0, -1).split("\n")) {
    const [name, signature] = signatureOf(line);
    for (const verifier of verifiers) {
      if (verifier.name !== name || !beginsWith(signature, verifier.id)) continue;
      if (!(await verifier.verify(text, signature.subarray(4)))) throw new Unproven(`the signature of ${name} does not hold`);
      signed = true;
    }
  }
  if (!signed) throw new Unproven(`not signed by the key of ${either(verifiers)}`);
  return text;
}

function signatureOf(line) {
  const [dash, name = "", ...rest] = line.split(" ");
  let signature = new Uint8Array();
  try {
    signature = fromBase64(rest.join(" "));
  } catch {
    // told below
  }
  if (dash !== "\u2014" || !validName(name) || signature.length < 5) throw new Unproven("a signature line of the note is malformed");
  return [name, signature];
}

/** The tree of the log `origin` when it had `size` entries. */
export class Checkpoint {
  constructor(origin, size, root) {
    this.origin = origin;
    this.size = size;
    this.root = root;
  }

  /** The checkpoint that a text spells; throws Unproven for anything else. */
  static parse(text) {
    const lines = text.split("\n");
    let root = new Uint8Array();
    try {
      if (lines.length > 3) root = fromBase64(lines[2]);
    } catch {
      // told below
    }
    const last = lines.pop();
    const size = Number(lines[1]);
    if (root.length !== 32 || !lines[0] || !/^(?:0|[1-9][0-9]{0,18})$/.test(lines[1]) || lines.includes("") || last || !Number.isSafeInteger(size)) {
      throw new Unproven("this is no checkpoint: origin, size and root, a line each");
    }
    return new Checkpoint(lines[0], size, root);
  }

  /** The checkpoint of a note that one of the verifiers has signed, under the log's own name; throws AnotherLog, Unproven. */
  static async open(note, verifiers) {
    const origin = note.split("\n", 1)[0];
    const own = verifiers.filter((verifier) => verifier.name === origin);
    if (!own.length) throw new AnotherLog(`the checkpoint is one of '${origin}', the key is ${either(verifiers)}'s`);
    return Checkpoint.parse(await openNote(note, own));
  }
}

/** All checkpoints in a text that was kept outside, of the logs of the verifiers, by size; throws CannotTell, Unproven. */
export async function keptCheckpoints(text, verifiers) {
  const names = new Set(verifiers.map((verifier) => verifier.name));
  const bySize = new Map();
  for (const note of notesIn(text)) {
    if (!names.has(note.split("\n", 1)[0])) continue;
    let checkpoint;
    try {
      checkpoint = await Checkpoint.open(note, verifiers);
    } catch (error) {
      if (error instanceof Unproven) throw new CannotTell(`the checkpoint kept outside cannot be used: ${error.message}`);
      throw error;
    }
    const before = bySize.get(checkpoint.size) ?? checkpoint;
    if (before.origin !== checkpoint.origin || !same(before.root, checkpoint.root)) {
      throw new Unproven(`two checkpoints of ${checkpoint.origin} at ${checkpoint.size} with different roots were signed`);
    }
    bySize.set(checkpoint.size, before);
  }
  if (!bySize.size) {
    throw new CannotTell("there is no checkpoint of this log in the file kept outside: is it empty, cut off, or another log's?");
  }
  return [...bySize.values()].sort((a, b) => a.size - b.size);
}

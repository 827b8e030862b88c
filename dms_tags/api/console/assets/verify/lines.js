// The lines of an exported file, as they are verified: counted and summed.

import { joined } from "./bytes.js";
import { Sha256 } from "./sha256.js";

const PART = 1 << 20;
const PROGRESS_EVERY = 5000;

/** The lines before the offset `end`, line ends included. */
export async function* linesOf(source, end) {
  let held = new Uint8Array();
  for (let at = 0; at < end; at += PART) {
    const part = await source.read(at, Math.min(end, at + PART));
    let text = held.length ? joined(held, part) : part;
    for (let line = text.indexOf(10); line >= 0; line = text.indexOf(10)) {
      yield text.subarray(0, line + 1);
      text = text.subarray(line + 1);
    }
    held = text;
  }
  if (held.length) yield held;
}

/** The lines with entries, read once; `count` and `sum` are those of what was read so far. */
export class Lines {
  constructor(source, manifest, progress) {
    this.lines = linesOf(source, manifest.begin);
    this.total = manifest.count;
    this.progress = progress;
    this.count = 0;
    this.sum = new Sha256();
  }

  /** The next line; null: there is none. */
  async next() {
    const { done, value } = await this.lines.next();
    if (done) return null;
    this.sum.update(value);
    this.count++;
    if (this.count % PROGRESS_EVERY === 0) await this.progress(this.count, this.total);
    return value;
  }

  /** Reads what is left: the sum of the file is told from all of it. */
  async readToEnd() {
    while ((await this.next()) !== null);
  }
}

// SHA-256 (FIPS 180-4) of a text that comes in parts.
//
// WebCrypto hashes a whole text at once and answers later: a file may be longer than memory, and a tree of a million entries takes
// two million hashes.  What this says is held against WebCrypto before every verification (`holdsAgainst`).

const K = new Int32Array(64);
const START = new Int32Array(8);
const words = new Int32Array(64);

/** The first 32 bits of the fraction of a root of a prime: where the algorithm's constants come from. */
function fraction(root) {
  return Math.floor((root - Math.floor(root)) * 2 ** 32) | 0;
}

for (let number = 2, count = 0; count < 64; number++) {
  let prime = true;
  for (let by = 2; by * by <= number; by++) prime &&= number % by > 0;
  if (!prime) continue;
  if (count < 8) START[count] = fraction(Math.sqrt(number));
  K[count++] = fraction(Math.cbrt(number));
}

/** A sum under way. */
export class Sha256 {
  constructor() {
    this.state = START.slice();
    this.block = new Uint8Array(64);
    this.held = 0;
    this.length = 0;
  }

  /** Takes more bytes; the sum itself. */
  update(bytes) {
    this.length += bytes.length;
    let at = 0;
    if (this.held) {
      at = Math.min(64 - this.held, bytes.length);
      this.block.set(bytes.subarray(0, at), this.held);
      this.held += at;
      if (this.held < 64) return this;
      this.compress(this.block, 0);
      this.held = 0;
    }
    for (; at + 64 <= bytes.length; at += 64) this.compress(bytes, at);
    if (at < bytes.length) {
      this.block.set(bytes.subarray(at), 0);
      this.held = bytes.length - at;
    }
    return this;
  }

  /** The 32 bytes of the sum; the last call of all. */
  digest() {
    const { block, length } = this;
    block[this.held++] = 128;
    if (this.held > 56) {
      block.fill(0, this.held);
      this.compress(block, 0);
      this.held = 0;
    }
    block.fill(0, this.held);
    const bits = length * 8;
    for (let at = 0; at < 8; at++) block[63 - at] = Math.floor(bits / 256 ** at) % 256;
    this.compress(block, 0);
    const sum = new Uint8Array(32);
    for (let at = 0; at < 32; at++) sum[at] = this.state[at >> 2] >>> (24 - 8 * (at & 3));
    return sum;
  }

  compress(bytes, offset) {
    const { state } = this;
    for (let at = 0; at < 16; at++, offset += 4) {
      words[at] = (bytes[offset] << 24) | (bytes[offset + 1] << 16) | (bytes[offset + 2] << 8) | bytes[offset + 3];
    }
    for (let at = 16; at < 64; at++) {
      const x = words[at - 15];
      const y = words[at - 2];
      const low = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const high = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      words[at] = (words[at - 16] + low + words[at - 7] + high) | 0;
    }
    let a = state[0];
    let b = state[1];
    let c = state[2];
    let d = state[3];
    let e = state[4];
    let f = state[5];
    let g = state[6];
    let h = state[7];
    for (let at = 0; at < 64; at++) {
      const high = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const one = (h + high + ((e & f) ^ (~e & g)) + K[at] + words[at]) | 0;
      const low = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const two = (low + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + one) | 0;
      d = c;
      c = b;
      b = a;
      a = (one + two) | 0;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
  }
}

/** The sum of texts that follow each other. */
export function sha256(...parts) {
  const sum = new Sha256();
  for (const part of parts) sum.update(part);
  return sum.digest();
}

/** Whether this and WebCrypto's SHA-256 say the same, of texts of every length around the edges of blocks. */
export async function holdsAgainst(subtle) {
  const text = Uint8Array.from({ length: 1100 }, (_, at) => (at * 167 + 13) & 255);
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000, 1100]) {
    const theirs = new Uint8Array(await subtle.digest("SHA-256", text.subarray(0, length)));
    const ours = sha256(text.subarray(0, length >> 1), text.subarray(length >> 1, length));
    if (!ours.every((byte, at) => byte === theirs[at])) return false;
  }
  return true;
}

// Bytes: texts of them in UTF-8, base64 and hexadecimal, and how they are compared and looked through.

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const SIX_BITS = new Uint8Array(128);
[...ALPHABET].forEach((letter, bits) => (SIX_BITS[letter.charCodeAt(0)] = bits));

/** The bytes of a text. */
export function bytesOf(text) {
  return encoder.encode(text);
}

/** The text of bytes; throws TypeError where they are no UTF-8. */
export function textOf(bytes) {
  return decoder.decode(bytes);
}

/** The bytes that base64 spells; throws RangeError for anything that is none. */
export function fromBase64(text) {
  if (typeof text !== "string" || !BASE64.test(text)) throw new RangeError("no base64");
  const letters = text.replace(/=+$/, "");
  const bytes = new Uint8Array(Math.floor((letters.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let letter = 0; letter < letters.length; letter++) {
    held = ((held << 6) | SIX_BITS[letters.charCodeAt(letter)]) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = (held >> bits) & 255;
    }
  }
  return bytes;
}

/** Bytes in base64. */
export function toBase64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const [a, b = 0, c = 0] = bytes.subarray(at, at + 3);
    const given = Math.min(3, bytes.length - at);
    const letters = ALPHABET[a >> 2] + ALPHABET[((a & 3) << 4) | (b >> 4)] + ALPHABET[((b & 15) << 2) | (c >> 6)] + ALPHABET[c & 63];
    text += letters.slice(0, given + 1) + "=".repeat(3 - given);
  }
  return text;
}

/** Bytes in hexadecimal. */
export function toHex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One text of bytes after the other. */
export function joined(...parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Whether two are the same. */
export function same(a, b) {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

function standsAt(bytes, part, at) {
  for (let offset = 0; offset < part.length; offset++) {
    if (bytes[at + offset] !== part[offset]) return false;
  }
  return true;
}

/** Whether `bytes` begin with the others. */
export function beginsWith(bytes, others) {
  return standsAt(bytes, others, 0);
}

/** Where `part` stands in `bytes` first; -1: nowhere. */
export function find(bytes, part) {
  for (let at = bytes.indexOf(part[0]); at >= 0; at = bytes.indexOf(part[0], at + 1)) {
    if (standsAt(bytes, part, at)) return at;
  }
  return -1;
}

/** Where `part` stands in `bytes` last; -1: nowhere. */
export function findLast(bytes, part) {
  for (let at = bytes.lastIndexOf(part[0]); at >= 0; at = at ? bytes.lastIndexOf(part[0], at - 1) : -1) {
    if (standsAt(bytes, part, at)) return at;
  }
  return -1;
}

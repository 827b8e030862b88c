// JSON as the log's leaves have it: read without loss, and spelt in the canonical way of RFC 8785.
//
// JSON.parse would take 1.0 for 1, lose a member that is given twice, and round large numbers: each could hide a change.
// An object is a Map, an integer a number or a BigInt, any other number a Real.

const DEEPEST = 900;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const WORDS = [["null", null], ["true", true], ["false", false], ["NaN", NaN], ["Infinity", Infinity], ["-Infinity", -Infinity]];
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

/** A number that is spelt as none that is whole. */
export class Real {
  constructor(value) {
    this.value = value;
  }
}

/** A member that is given twice, where that is not allowed. */
export class GivenTwice extends Error {}

/** The value that `text` spells; throws SyntaxError, and with `once` GivenTwice for a member that stands twice in an object. */
export function parseJson(text, { once = false, words = true } = {}) {
  let at = text.startsWith("\ufeff") ? 1 : 0;

  function fail() {
    throw new SyntaxError(`no JSON at character ${at + 1}`);
  }

  function space() {
    while (text[at] === " " || text[at] === "\t" || text[at] === "\n" || text[at] === "\r") at++;
  }

  function string() {
    let value = "";
    at++;
    for (;;) {
      PLAIN.lastIndex = at;
      const plain = PLAIN.exec(text)[0];
      value += plain;
      at += plain.length;
      if (text[at] === '"') {
        at++;
        return value;
      }
      if (text[at] !== "\\") fail();
      const letter = text[at + 1];
      if (letter === "u") {
        const code = text.slice(at + 2, at + 6);
        if (!/^[0-9a-fA-F]{4}$/.test(code)) fail();
        value += String.fromCharCode(parseInt(code, 16));
        at += 6;
      } else {
        if (!Object.hasOwn(ESCAPES, letter ?? "")) fail();
        value += ESCAPES[letter];
        at += 2;
      }
    }
  }

  function number() {
    NUMBER.lastIndex = at;
    const match = NUMBER.exec(text);
    if (match === null) {
      for (const [word, value] of WORDS) {
        if (!text.startsWith(word, at)) continue;
        if (typeof value === "number" && !words) fail();
        at += word.length;
        return typeof value === "number" ? new Real(value) : value;
      }
      fail();
    }
    const [spelt, fraction, exponent] = match;
    at += spelt.length;
    if (fraction !== undefined || exponent !== undefined) return new Real(Number(spelt));
    if (spelt.length > 4300) fail();
    const value = Number(spelt);
    return Number.isSafeInteger(value) ? value + 0 : BigInt(spelt);
  }

  function value(depth) {
    if (depth > DEEPEST) fail();
    const first = text[at];
    if (first === '"') return string();
    if (first === "{") return object(depth);
    if (first === "[") return array(depth);
    return number();
  }

  function array(depth) {
    const values = [];
    at++;
    space();
    if (text[at] === "]") {
      at++;
      return values;
    }
    for (;;) {
      space();
      values.push(value(depth + 1));
      space();
      if (text[at] === "]") {
        at++;
        return values;
      }
      if (text[at++] !== ",") fail();
    }
  }

  function object(depth) {
    const members = new Map();
    at++;
    space();
    if (text[at] === "}") {
      at++;
      return members;
    }
    for (;;) {
      space();
      if (text[at] !== '"') fail();
      const name = string();
      space();
      if (text[at++] !== ":") fail();
      space();
      if (once && members.has(name)) throw new GivenTwice(name);
      members.set(name, value(depth + 1));
      space();
      if (text[at] === "}") {
        at++;
        return members;
      }
      if (text[at++] !== ",") fail();
    }
  }

  space();
  const whole = value(0);
  space();
  if (at < text.length) fail();
  return whole;
}

/** RFC 8785: members in order of their names, no blanks; throws RangeError for text that is no Unicode. */
export function canonical(value) {
  if (value === null || typeof value !== "object") return typeof value === "string" ? spelt(value) : String(value);
  if (value instanceof Real) return String(value.value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const names = [...value.keys()].sort();
  return `{${names.map((name) => `${spelt(name)}:${canonical(value.get(name))}`).join(",")}}`;
}

function spelt(text) {
  if (/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text)) throw new RangeError("half a character");
  return JSON.stringify(text);
}

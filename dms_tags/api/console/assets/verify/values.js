// Values of an export as the verifier compares and spells them: those of JSON, and of a whole number never a part.

import { canonical, Real } from "./json.js";

/** A member, or a value, that is not of the kind that it has to be. */
export class Malformed extends Error {}

/** A member of an object; throws Malformed where there is no such member, or no object. */
export function member(object, name) {
  if (!(object instanceof Map) || !object.has(name)) throw new Malformed(`'${name}'`);
  return object.get(name);
}

/** Whether a value is a whole number. */
export function isWhole(value) {
  return typeof value === "number" || typeof value === "bigint";
}

/** The value as a number; throws Malformed for one that is none. */
export function amount(value) {
  if (isWhole(value)) return value;
  if (typeof value === "boolean") return Number(value);
  if (value instanceof Real) return value.value;
  throw new Malformed("a number is missing");
}

/** One more than a number, or so many. */
export function plus(value, more) {
  const number = amount(value);
  return typeof number === "bigint" ? number + BigInt(more) : number + more;
}

/** Whether two values are the same. */
export function equal(a, b) {
  if (a === b) return true;
  if (a instanceof Map && b instanceof Map) {
    return a.size === b.size && [...a].every(([name, value]) => b.has(name) && equal(value, b.get(name)));
  }
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((value, at) => equal(value, b[at]));
  const numbers = [a, b].every((value) => isWhole(value) || typeof value === "boolean" || value instanceof Real);
  return numbers && amount(a) == amount(b); // loosely: a BigInt and a number may be the same
}

/** Whether a comes before b, of two texts or two numbers; throws Malformed for anything else. */
export function before(a, b) {
  if (typeof a === "string" && typeof b === "string") return a < b;
  return amount(a) < amount(b);
}

/** Whether a value may name something; throws Malformed where it may not. */
export function asName(value) {
  if (value instanceof Map || Array.isArray(value)) throw new Malformed("a name is missing");
  return value instanceof Real ? value.value : value;
}

/** A value as sentences have it. */
export function shown(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (value instanceof Map) return `{${[...value].map(([name, each]) => `${quoted(name)}: ${quoted(each)}`).join(", ")}}`;
  if (Array.isArray(value)) return `[${value.map(quoted).join(", ")}]`;
  return typeof value === "string" ? value : canonical(value);
}

/** The same, a text in quotes. */
export function quoted(value) {
  if (typeof value !== "string") return shown(value);
  return value.includes("'") && !value.includes('"') ? `"${value}"` : `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

// What of an entry was signed, by the schema that it was written with (API.md section 2).

import { canonical } from "./json.js";

/** Members that stand in a line beside the leaf. */
const BESIDE = ["proof"];

/** The canonical JSON of the leaf of an entry. */
export function leafOf(entry) {
  return canonical(new Map([...entry].filter(([name]) => !BESIDE.includes(name))));
}

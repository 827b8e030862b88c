// Runs the console's verifier outside a browser: a line of JSON for each verdict over the files that standard input names.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const modules = process.argv[2];
const { verifyFile } = await import(`${modules}/verify.js`);
const { readKeys } = await import(`${modules}/note.js`);

for await (const line of createInterface({ input: process.stdin })) {
  const { file, key, kept } = JSON.parse(line);
  const bytes = new Uint8Array(readFileSync(file));
  const source = { size: bytes.length, read: async (begin, end) => bytes.subarray(begin, end) };
  const report = await verifyFile(source, readKeys(key), kept, () => {});
  const { status, verdict, worst, unknown, remarks, entries, first, last } = report;
  console.log(JSON.stringify({ status, verdict, worst, unknown, remarks, entries, first, last }));
}

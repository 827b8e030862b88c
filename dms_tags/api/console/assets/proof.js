// Checks an inclusion proof in the browser: the leaf's hash of the entry shown, the way to the root, the signature of the checkpoint.

import { bytesOf, fromBase64 } from "./verify/bytes.js";
import { parseJson } from "./verify/json.js";
import { leafOf } from "./verify/leaf.js";
import { leafHash, verifyInclusion } from "./verify/merkle.js";
import { Checkpoint, readKeys } from "./verify/note.js";

const verdict = document.getElementById("verdict");

async function check() {
  const told = parseJson(document.getElementById("proof").textContent);
  const proof = told.get("proof");
  const checkpoint = await Checkpoint.open(proof.get("checkpoint"), readKeys(told.get("key")));
  const leaf = bytesOf(leafOf(proof.get("entry")));
  verifyInclusion(leafHash(leaf), proof.get("index"), checkpoint.size, proof.get("proof").map(fromBase64), checkpoint.root);
}

try {
  await check();
  verdict.textContent = "This browser has checked it: the entry leads to the root, and the key of the log has signed that.";
  verdict.classList.add("holds");
} catch (error) {
  verdict.textContent = crypto.subtle ? `DOES NOT HOLD: ${error.message}` : "Not checked here: a browser does so on https, or on the machine itself.";
  verdict.classList.toggle("fails", Boolean(crypto.subtle));
}

// The page that verifies: a file is chosen or dropped, read part by part, and the verdict is shown.

import { readKeys } from "./note.js";
import { Unproven } from "./merkle.js";
import { FAILS, HOLDS } from "./report.js";
import { holdsAgainst } from "./sha256.js";
import { verifyFile } from "./verify.js";

/** Why this browser cannot verify; null: it can. */
async function hindrance() {
  if (!globalThis.crypto?.subtle) {
    return "This browser has no WebCrypto here: it has it on https, on the machine itself, and in the verifier that is saved as a file.";
  }
  try {
    await crypto.subtle.importKey("raw", new Uint8Array(32), "Ed25519", false, ["verify"]);
  } catch {
    return "The WebCrypto of this browser knows no Ed25519, with which the log is signed: take a newer browser, or dms-tags audit verify.";
  }
  return (await holdsAgainst(crypto.subtle)) ? null : "SHA-256 in this browser is not what WebCrypto says: nothing can be told here.";
}

/** The source that the chosen file is; throws Unproven for a table, whose manifest lies beside it. */
async function chosen(file) {
  if ((await file.slice(0, 20).text()).replace(/^\ufeff/, "").startsWith('"schema"')) {
    throw new Unproven("this is a table: dms-tags audit verify verifies it with its manifest, and this page an export as NDJSON");
  }
  return { size: file.size, read: async (begin, end) => new Uint8Array(await file.slice(begin, end).arrayBuffer()) };
}

function line(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function tell(name, report) {
  const place = document.getElementById("report");
  const { worst } = report;
  place.className = `report ${report.status === HOLDS ? "holds" : report.status === FAILS ? "fails" : ""}`;
  place.dataset.status = report.status;
  place.dataset.position = worst?.position ?? "";
  place.replaceChildren(line("h2", report.verdict), line("p", name));
  if (worst) place.append(line("p", worst.position === null ? worst.what : `position ${worst.position}: ${worst.what}`));
  for (const text of [...report.unknown, ...report.remarks]) place.append(line("p", text));
  if (report.checkpoint && !report.findings.length) {
    place.append(line("p", `The checkpoint is one of ${report.checkpoint.origin} at ${report.checkpoint.size}.`));
  }
  place.hidden = false;
  place.focus();
}

function refuse(message) {
  const place = document.getElementById("report");
  place.className = "report";
  delete place.dataset.status;
  place.replaceChildren(line("h2", "not looked at"), line("p", message));
  place.hidden = false;
  place.focus();
}

function progressOn(place) {
  const bar = place.querySelector("progress");
  const status = place.querySelector("[role=status]");
  return async (done, total) => {
    if (total) bar.value = done / total;
    status.textContent = `${done} entries`;
    await new Promise((resume) => setTimeout(resume));
  };
}

async function verifyChosen(form) {
  const place = document.getElementById("progress");
  const kept = document.getElementById("kept").value;
  place.hidden = false;
  try {
    const keys = readKeys(document.getElementById("key").value);
    const [file] = document.getElementById("file").files;
    tell(file.name, await verifyFile(await chosen(file), keys, kept.trim() ? kept : null, progressOn(place)));
  } catch (error) {
    refuse(error.message);
    if (!(error instanceof Unproven)) throw error;
  } finally {
    place.hidden = true;
    form.querySelector("button").disabled = false;
  }
}

async function begin() {
  const form = document.getElementById("verify");
  const drop = form.querySelector(".drop");
  const files = document.getElementById("file");
  const reason = await hindrance();
  if (reason !== null) {
    refuse(reason);
    form.querySelector("button").disabled = true;
    return;
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!files.files.length) return refuse("choose a file first");
    form.querySelector("button").disabled = true;
    return verifyChosen(form);
  });
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    files.files = event.dataTransfer.files;
    form.requestSubmit();
  });
  form.dataset.ready = "";
}

if (globalThis.document) await begin();

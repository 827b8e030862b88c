// The trail's page: rows as they are recorded, and an export with its progress.  Without this the page works all the same.

const rows = document.getElementById("rows");
const live = document.getElementById("live");
const MOST_ROWS = 500;

function rowOf(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html; // made and escaped by the service; the policy of the page runs nothing that stands in it
  return holder.content.querySelector("tr");
}

function watch() {
  const status = document.getElementById("live-status");
  const source = new EventSource(live.dataset.stream);
  let count = 0;
  status.textContent = "waiting for what is recorded";
  source.addEventListener("message", (event) => {
    const row = rowOf(JSON.parse(event.data).row);
    row.classList.add("fresh");
    rows.prepend(row);
    document.getElementById("none")?.remove();
    while (rows.children.length > MOST_ROWS) rows.lastElementChild.remove();
    status.textContent = `${(count += 1)} new`;
  });
  source.addEventListener("ended", () => {
    source.close();
    live.checked = false;
    status.textContent = "your session has ended: load the page again";
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) {
      live.checked = false;
      status.textContent = "the service refused: load the page again";
    }
  });
  return source;
}

if (live) {
  let source = null;
  live.closest("p").hidden = false;
  live.addEventListener("change", () => {
    source?.close();
    source = live.checked ? watch() : null;
    if (!live.checked) document.getElementById("live-status").textContent = "";
  });
}

const exporting = document.getElementById("exporting");
const decoder = new TextDecoder();

/** The last position that a part of an export tells, as a number; null: it tells none. */
function lastPosition(chunk) {
  const tail = decoder.decode(chunk.subarray(Math.max(0, chunk.length - 4000)));
  const match = [...tail.matchAll(/(?:"position":|^"\d+","[^"]*",")(\d+)/gm)].pop();
  return match ? Number(match[1]) : null;
}

async function save(link) {
  const bar = exporting.querySelector("progress");
  const status = exporting.querySelector("[role=status]");
  const stop = new AbortController();
  exporting.querySelector("button").onclick = () => stop.abort();
  exporting.hidden = false;
  bar.removeAttribute("value");
  status.textContent = "";
  try {
    const answer = await fetch(link.href, { signal: stop.signal });
    if (!answer.ok) throw new Error(answer.status === 401 ? "your session has ended" : `the service answers ${answer.status}`);
    const [head, first] = ["X-Trail-Head", "X-Trail-First"].map((name) => Number(answer.headers.get(name)));
    const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition"))[1];
    const parts = [];
    let size = 0;
    for (let reader = answer.body.getReader(), part = await reader.read(); !part.done; part = await reader.read()) {
      parts.push(part.value);
      size += part.value.length;
      const position = lastPosition(part.value);
      if (position !== null) bar.value = Math.min(1, (position - first + 1) / Math.max(1, head - first + 1));
      status.textContent = `${(size / 1e6).toFixed(1)} MB`;
    }
    bar.value = 1;
    const file = document.createElement("a");
    file.href = URL.createObjectURL(new Blob(parts, { type: answer.headers.get("Content-Type") }));
    file.download = name;
    file.click();
    setTimeout(() => URL.revokeObjectURL(file.href), 60_000);
    status.textContent = `${(size / 1e6).toFixed(1)} MB, saved as ${name}`;
  } catch (error) {
    status.textContent = stop.signal.aborted ? "stopped: nothing was saved" : `broken off: ${error.message}; nothing was saved`;
  }
}

for (const link of document.querySelectorAll("[data-export]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    save(link);
  });
}

// An empty field says nothing: the link of the question has none.
document.querySelector("form.filters").addEventListener("submit", (event) => {
  for (const field of event.target.elements) {
    if (field.name && !field.value.trim()) field.disabled = true;
    if (field.name === "order" && field.value === "desc") field.disabled = true;
  }
});
addEventListener("pageshow", () => {
  for (const field of document.querySelector("form.filters").elements) field.disabled = false;
});

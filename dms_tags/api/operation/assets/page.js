// Shows only what has every word that is typed into the search field; a link into a folded call opens it.
const field = document.querySelector("input[type=search]");
const parts = [...document.querySelectorAll("[data-part]")];
const none = document.querySelector("[data-none]");

function search() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const part of parts) {
    const text = part.textContent.toLowerCase();
    part.hidden = !words.every((word) => text.includes(word));
  }
  for (const group of document.querySelectorAll("[data-group]")) {
    group.hidden = [...group.querySelectorAll("[data-part]")].every((part) => part.hidden);
  }
  none.hidden = parts.some((part) => !part.hidden);
}

function open() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") target.open = true;
}

if (field) field.addEventListener("input", search);
addEventListener("hashchange", open);
open();

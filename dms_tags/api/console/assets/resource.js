// The slider of a resource's page: its tags as each change left them, as soon as it is moved.  Without this a button does it.

const slide = document.getElementById("slide");

if (slide) {
  const range = slide.elements.namedItem("step");
  let asked = 0;
  range.addEventListener("input", async () => {
    const number = (asked += 1);
    const query = new URLSearchParams(new FormData(slide));
    const answer = await fetch(`${slide.action}?${query}`, { headers: { Accept: "text/html" } });
    if (answer.status === 401) location.reload();
    if (number !== asked || !answer.ok) return; // it was moved on meanwhile
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.getElementById("standing").replaceWith(page.getElementById("standing"));
    document.getElementById("standing").setAttribute("aria-live", "polite");
  });
}

// Swaps the parts of the page that changed. A part in which somebody is filling in a form is left alone.
"use strict";

const shown = new Map();
let running = false;
let again = false;

function parts(root) {
  return [...root.querySelectorAll("[data-part]")];
}

function isBusy(part) {
  return part.contains(document.activeElement) && document.activeElement.closest("form") !== null
    || part.querySelector("[data-touched]") !== null;
}

async function refresh() {
  if (running) {
    again = true;
    return;
  }
  running = true;
  try {
    const answer = await fetch("/fragment", { headers: { "Accept": "text/html" } });
    if (answer.status === 401) {
      location.assign("/login");
      return;
    }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const order = parts(fresh).map((part) => part.dataset.part);
    for (const part of parts(document)) {
      if (!order.includes(part.dataset.part) && !isBusy(part)) part.remove();
    }
    for (const part of parts(fresh)) {
      const name = part.dataset.part;
      const old = document.querySelector(`[data-part="${CSS.escape(name)}"]`);
      const text = part.outerHTML;
      if (old === null) {
        const list = document.getElementById(part.parentElement.id);
        if (list !== null) list.append(part);
      } else if (shown.get(name) !== text && !isBusy(old)) {
        const folds = part.querySelectorAll("details");
        old.querySelectorAll("details").forEach((fold, i) => { if (folds[i]) folds[i].open = fold.open; });
        old.replaceWith(part);
      } else {
        continue;
      }
      shown.set(name, text);
    }
    document.body.classList.remove("lost");
  } catch {
    document.body.classList.add("lost");
  } finally {
    running = false;
    if (again) {
      again = false;
      setTimeout(refresh, 300);
    }
  }
}

for (const part of parts(document)) shown.set(part.dataset.part, part.outerHTML);
document.addEventListener("input", (event) => {
  const form = event.target.closest("form");
  if (form !== null) form.dataset.touched = "";
});
const events = new EventSource("/api/v1/events");
events.addEventListener("status", refresh);
events.addEventListener("job", refresh);
events.addEventListener("open", refresh);
events.addEventListener("error", () => document.body.classList.add("lost"));

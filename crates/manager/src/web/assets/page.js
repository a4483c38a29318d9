// What htmx does not do: say when the page may be old, leave alone what somebody is filling in, copy.
"use strict";

function stale(isStale) {
  document.body.classList.toggle("stale", isStale);
}
for (const name of ["htmx:sseError", "htmx:sendError", "htmx:responseError"]) {
  document.addEventListener(name, () => stale(true));
}
// What has not changed is not swapped: most polls of machines change nothing that is shown here.
let last = null;
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.xhr.status >= 400) return;
  stale(false);
  if (detail.xhr.responseText === last) detail.shouldSwap = false;
  last = detail.xhr.responseText;
});
document.addEventListener("htmx:afterSwap", localTimes);

function localTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.textContent = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
  }
}
localTimes();

// A field that somebody touched keeps what it holds, and a fold stays as it was put.
document.addEventListener("input", ({ target }) => {
  const group = target.type === "radio" ? document.getElementsByName(target.name) : [target];
  for (const field of group) field.dataset.touched = "";
});
document.addEventListener("reset", (event) => {
  event.target.querySelectorAll("[data-touched]").forEach((field) => delete field.dataset.touched);
});
Idiomorph.defaults.callbacks.beforeNodeMorphed = (old) =>
  !(old instanceof Element && (old.hasAttribute("data-touched") || old.hasAttribute("data-keep")));
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) =>
  !(name === "open" && (node.tagName === "DETAILS" || node.tagName === "DIALOG"));

// A form that may be sent once only: the answer to the first of two would be lost, and with it a new passphrase.
document.addEventListener("submit", (event) => {
  const { dataset } = event.target;
  if (dataset.once === "sent") event.preventDefault();
  if (dataset.once === "") dataset.once = "sent";
});
window.addEventListener("pageshow", () => {
  document.querySelectorAll("[data-once]").forEach((form) => { form.dataset.once = ""; });
});

async function copy(text) {
  if (window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // over plain HTTP in the local network browsers have only the old way
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (button === null) return;
  const source = document.getElementById(button.dataset.copy);
  const word = button.querySelector(".copy-word");
  try {
    await copy(source.value ?? source.textContent);
    word.textContent = "Copied";
  } catch {
    word.textContent = "Could not copy: select it by hand";
  }
  setTimeout(() => { word.textContent = button.dataset.word; }, 2500);
});

// A machine shows itself; what it said stays for as long as it does.
document.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-blink]");
  if (button === null) return;
  const place = button.parentElement;
  const said = place.querySelector("output");
  let seconds = 15;
  place.dataset.keep = "";
  button.disabled = true;
  said.textContent = "Asking it …";
  try {
    const answer = await fetch(button.dataset.blink, { method: "POST" });
    const words = await answer.json();
    said.textContent = answer.ok ? `For ${words.seconds} s, look for ${words.light}.` : words.detail;
    seconds = words.seconds ?? seconds;
  } catch {
    said.textContent = "The manager does not answer.";
  }
  setTimeout(() => {
    said.textContent = "";
    button.disabled = false;
    delete place.dataset.keep;
  }, seconds * 1000);
});

// A picked or dropped file is read here into the field beside it; it is text and small, so nothing is uploaded.
async function readInto(field, file) {
  if (file === undefined) return;
  field.value = file.size > 131072 ? "" : await file.text();
  field.dispatchEvent(new Event("input", { bubbles: true }));
}
document.addEventListener("change", (event) => {
  const field = document.getElementById(event.target.dataset.into ?? "");
  if (field !== null) readInto(field, event.target.files[0]);
});
document.addEventListener("dragover", (event) => {
  if (document.querySelector("[data-into]") !== null) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  const picker = document.querySelector("[data-into]");
  if (picker === null) return;
  event.preventDefault();
  readInto(document.getElementById(picker.dataset.into), event.dataTransfer.files[0]);
});

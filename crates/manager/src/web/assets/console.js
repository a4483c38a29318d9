// A serial console: what comes is put in as text, a line that is typed goes out as it is.
"use strict";

// colours, cursor movements and titles mean nothing in a plain page
const CONTROL = /\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f]/g;
const MOST_TEXT = 200000;

function beginConsole(view) {
  const path = `/api/v1/serial/${encodeURIComponent(view.dataset.console)}`;
  const output = view.querySelector("pre");
  const field = view.querySelector("input");
  const decoder = new TextDecoder();
  let source = null;

  function say(text) {
    const atEnd = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
    output.textContent = (output.textContent + text).slice(-MOST_TEXT);
    if (atEnd) output.scrollTop = output.scrollHeight;
  }
  function read() {
    output.textContent = "";
    source = new EventSource(`${path}/stream`);
    source.addEventListener("output", (event) => {
      const bytes = Uint8Array.from(atob(event.data), (char) => char.charCodeAt(0));
      say(decoder.decode(bytes, { stream: true }).replace(CONTROL, ""));
    });
    source.addEventListener("error", () => say("\n[the adapter does not answer]\n"));
  }
  async function type(text) {
    const answer = await fetch(`${path}/input`, { method: "POST", body: text });
    if (!answer.ok) say(`\n[${(await answer.json()).detail}]\n`);
  }
  view.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    type(`${field.value}\r`);
    field.value = "";
  });
  view.querySelector("[data-control]").addEventListener("click", (event) => type(String.fromCharCode(Number(event.target.dataset.control))));
  view.addEventListener("toggle", () => {
    source?.close();
    if (view.open) read();
  });
}

// by the first opening, whose event then comes to what is begun here
document.addEventListener("toggle", (event) => {
  const view = event.target;
  if (view.open && view.dataset.console !== undefined && view.dataset.begun === undefined) {
    view.dataset.begun = "";
    beginConsole(view);
  }
}, true);

// A node's journal, as it comes. All of it is put in as text, never as markup.
"use strict";

const MOST_LINES = 2000;

function line(entry) {
  const row = document.createElement("div");
  if (entry.priority !== null && entry.priority <= 3) row.className = "bad";
  const time = document.createElement("time");
  time.textContent = new Date(entry.time_us / 1000).toLocaleTimeString(undefined, { hour12: false });
  const who = document.createElement("b");
  who.textContent = entry.identifier ?? entry.unit ?? "";
  row.append(time, who, " ", entry.message);
  return row;
}

function put(output, row) {
  const atEnd = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
  output.append(row);
  while (output.childElementCount > MOST_LINES) output.firstElementChild.remove();
  if (atEnd) output.scrollTop = output.scrollHeight;
}

function note(output, words) {
  const row = document.createElement("div");
  row.className = "note";
  row.textContent = words;
  put(output, row);
}

async function begin(view) {
  const node = encodeURIComponent(view.dataset.log);
  const output = view.querySelector("[role=log]");
  const select = view.querySelector("select");
  let source = null;
  function follow() {
    source?.close();
    output.replaceChildren();
    source = new EventSource(`/api/v1/nodes/${node}/logs?follow=true&unit=${encodeURIComponent(select.value)}`);
    source.addEventListener("entry", (event) => put(output, line(JSON.parse(event.data))));
    source.addEventListener("broken", (event) => note(output, JSON.parse(event.data).reason));
  }
  select.addEventListener("change", follow);
  view.addEventListener("toggle", () => {
    if (view.open) {
      follow();
    } else {
      source?.close();
    }
  });
  const answer = await fetch(`/api/v1/nodes/${node}/units`);
  if (!answer.ok) return;
  for (const unit of (await answer.json()).units) select.add(new Option(unit, unit));
}

// by the first opening, whose event then comes to what is begun here: who only looks at the page asks the node nothing
document.addEventListener("toggle", (event) => {
  const view = event.target;
  if (view.open && view.dataset.log !== undefined && view.dataset.begun === undefined) {
    view.dataset.begun = "";
    begin(view);
  }
}, true);

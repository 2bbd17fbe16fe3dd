// The list of requests follows by itself: at once when live.js hears of new ones, every few seconds where there is no websocket.
// Not while it is paused, nor while somebody works in it or nobody looks.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const rows = document.querySelector("#request-rows[data-follow]");
  const controls = document.querySelector("[data-live-controls]");
  if (!rows || !controls || !window.htmx) return;
  const state = controls.querySelector("[data-live-state]");
  const button = controls.querySelector("[data-live-pause]");
  const often = 1500, fallback = 5000;
  let paused = false, missed = 0, due = 0, asked = 0, known = new Set();

  const shown = () => new Set([...rows.querySelectorAll("[data-request]")].map((row) => row.dataset.request));
  const busy = () => rows.contains(document.activeElement) || document.hidden;

  function tell() {
    const words = state.dataset;
    const text = !paused ? words.follows : missed === 1 ? words.one : missed ? words.many.replace("{count}", missed) : words.paused;
    if (state.textContent !== text) state.textContent = text;
    state.classList.toggle("on", !paused);
    button.textContent = paused ? button.dataset.resume : button.dataset.pause;
  }

  function refresh() {
    if (paused || due) return;
    due = setTimeout(() => {
      due = 0;
      if (paused) return;
      if (busy()) { setTimeout(refresh, often); return; }
      asked = Date.now();
      known = shown();
      htmx.trigger(rows, "refresh");
    }, Math.max(0, asked + often - Date.now()));
  }

  rows.addEventListener("htmx:afterSwap", () => {
    for (const row of rows.querySelectorAll("[data-request]")) row.classList.toggle("fresh", known.size > 0 && !known.has(row.dataset.request));
  });
  document.addEventListener("gateway:requests", (event) => {
    if (paused) { missed += event.detail.count; tell(); } else refresh();
  });
  document.addEventListener("gateway:live", (event) => { if (event.detail.state === "open") refresh(); });
  button.addEventListener("click", () => {
    paused = !paused;
    missed = 0;
    tell();
    refresh();
  });
  setInterval(() => { if (document.documentElement.dataset.live !== "open") refresh(); }, fallback);
  controls.hidden = false;
  tell();
});

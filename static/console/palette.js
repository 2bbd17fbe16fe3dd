// The palette: Ctrl-K (or Cmd-K) opens it anywhere in the console. It asks the search page for its results as one types;
// the arrow keys move the focus through them, Enter opens the first or the chosen one. Without scripts the link that opens
// it leads to the search page.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const palette = document.getElementById("palette");
  if (!palette || !palette.showModal) return;
  const text = palette.querySelector("input[type=search]");
  const results = palette.querySelector("[data-results]");
  const pause = 150; // milliseconds between the last letter and the question
  let timer = 0;
  let asked = null; // the question whose answer is awaited
  let shown = null; // the question that the results answer

  const links = () => [...results.querySelectorAll("a")];

  async function ask() {
    const question = text.value.trim();
    if (asked) asked.abort();
    if (question === shown) return;
    const mine = asked = new AbortController();
    try {
      const address = `${palette.dataset.address}?fragment=1&q=${encodeURIComponent(question)}`;
      const answer = await fetch(address, { credentials: "same-origin", redirect: "error", signal: mine.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (mine !== asked) return;
      results.replaceChildren(...page.body.childNodes);
      results.scrollTop = 0;
      shown = question;
    } catch (error) {
      if (error.name === "AbortError") return;
      const sorry = document.createElement("p");
      sorry.className = "quiet";
      sorry.setAttribute("role", "status");
      sorry.textContent = "The gateway does not answer; press Enter to try the search page.";
      results.replaceChildren(sorry);
      shown = null;
    }
  }

  function open() {
    if (palette.open) return;
    palette.showModal();
    text.select();
    ask();
  }

  function move(step) {
    const all = links();
    if (!all.length) return;
    const at = all.indexOf(document.activeElement);
    const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step;
    if (next < 0 || next >= all.length) text.focus();
    else all[next].focus();
  }

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });

  for (const opener of document.querySelectorAll("[data-palette]")) {
    opener.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // into a tab of its own, as every link
      event.preventDefault();
      open();
    });
  }

  text.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, pause);
  });

  palette.querySelector("form").addEventListener("submit", (event) => {
    const first = links()[0];
    if (first && shown === text.value.trim()) {
      event.preventDefault();
      first.click();
    }
  });

  palette.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") move(1);
    else if (event.key === "ArrowUp") move(-1);
    else if (event.key === "Escape") palette.close(); // at once; a search field would first be emptied by it
    else if (event.target !== text && event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey) {
      text.focus(); // whoever types on goes on typing
      return;
    } else return;
    event.preventDefault();
  });

  palette.querySelector("[data-close]").addEventListener("click", () => palette.close());
  palette.addEventListener("click", (event) => { if (event.target === palette) palette.close(); });
});

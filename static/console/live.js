// Parts of a page that keep themselves up to date: an element with data-live is filled from that address every two seconds.
// Not while somebody works in it, and not while nobody looks.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const seconds = 2;
  for (const part of document.querySelectorAll("[data-live]")) {
    const note = document.querySelector("[data-live-note]");
    const say = (text) => { if (note) note.textContent = text; };
    let busy = false;
    say(`Follows every ${seconds} seconds.`);
    setInterval(async () => {
      if (busy || document.hidden || part.contains(document.activeElement)) return;
      busy = true;
      try {
        const answer = await fetch(part.dataset.live, { credentials: "same-origin", redirect: "error" });
        if (!answer.ok) throw new Error(String(answer.status));
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (!part.contains(document.activeElement)) part.replaceChildren(...page.body.childNodes);
        say(`Follows every ${seconds} seconds.`);
      } catch {
        say("The gateway does not answer; this is what it last said.");
      } finally {
        busy = false;
      }
    }, seconds * 1000);
  }
});

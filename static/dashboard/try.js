// Sends the form of "Try it" and shows the answer as it streams: a line of JSON with status and id, then Messages events.
"use strict";

(() => {
  const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

  async function* lines(reader) {
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const found = rest.split("\n");
      rest = found.pop();
      yield* found;
      if (done) { if (rest) yield rest; return; }
    }
  }

  function said(event) {
    if (event.type === "content_block_delta") return event.delta.text ?? event.delta.thinking ?? "";
    if (event.type === "error") return `\n${event.error.message}`;
    return "";
  }

  async function send(form) {
    const place = form.parentElement, box = place.querySelector("[data-answer]");
    const text = place.querySelector("[data-text]"), facts = place.querySelector("[data-facts]");
    const button = form.querySelector("[type=submit]"), stop = form.querySelector("[data-stop]");
    const leave = new AbortController();
    const stopped = () => leave.abort();
    box.hidden = false; text.textContent = ""; facts.replaceChildren();
    button.disabled = true; stop.hidden = false;
    stop.addEventListener("click", stopped, { once: true });
    let head = null;
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form), headers: { "x-try-stream": "1" }, signal: leave.signal });
      if (answer.headers.get("content-type")?.startsWith("text/html")) {
        form.submit(); // something is wrong with the form: the page says what
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      for await (const line of lines(answer.body.getReader())) {
        if (head === null) head = JSON.parse(line);
        else if (head.status !== 200) text.textContent = JSON.parse(line).error.message;
        else if (line.startsWith("data:")) text.textContent += said(JSON.parse(line.slice(5)));
      }
    } catch {
      text.textContent += leave.signal.aborted ? "" : `\n${form.dataset.failed}`;
    } finally {
      button.disabled = false; stop.hidden = true;
      stop.removeEventListener("click", stopped);
    }
    if (head) await told(form.dataset.tried.replace("REQUEST", head.request_id), facts);
  }

  // The record is stored a moment after the answer's end.
  async function told(address, facts) {
    for (let tries = 0; tries < 12; tries += 1) {
      await pause(250 + 150 * tries);
      const answer = await fetch(address).catch(() => null);
      if (answer?.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        facts.replaceChildren(...page.body.childNodes);
        return;
      }
    }
  }

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-try]")) return;
    event.preventDefault();
    send(event.target);
  });
})();

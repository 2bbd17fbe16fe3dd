// Live pages: hears over a websocket that something happened in this team, and says so on the document: the event
// `gateway:requests`, whose detail is the message. Where there can be no websocket nothing happens; parts of pages then ask
// from time to time (`document.documentElement.dataset.live` is "open" while they need not).
"use strict";

(() => {
  const team = location.pathname.match(/^\/teams\/([^/]+)\//)?.[1];
  if (!team || !("WebSocket" in window)) return;
  const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/teams/${team}/`;
  const first = 1000, longest = 60_000, hiddenFor = 60_000;
  let socket = null, delay = first, timer = 0, barred = false;

  function say(state) {
    document.documentElement.dataset.live = state;
    document.dispatchEvent(new CustomEvent("gateway:live", { detail: { state } }));
  }

  function open() {
    clearTimeout(timer);
    if (socket || barred) return;
    try { socket = new WebSocket(address); } catch { barred = true; return; }
    const own = socket;
    let opened = 0;
    own.addEventListener("open", () => { opened = Date.now(); say("open"); });
    own.addEventListener("message", (event) => {
      let message;
      try { message = JSON.parse(event.data); } catch { return; }
      if (message.type === "requests") document.dispatchEvent(new CustomEvent("gateway:requests", { detail: message }));
    });
    own.addEventListener("close", (event) => {
      if (socket !== own) return;
      socket = null;
      say("closed");
      if (event.code === 4404) { barred = true; return; }
      if (event.code === 4429) delay = longest;
      else if (opened && Date.now() - opened > 10_000) delay = first;
      if (!document.hidden) again();
    });
  }

  function again() {
    clearTimeout(timer);
    timer = setTimeout(open, delay * (0.75 + Math.random() / 2));
    delay = Math.min(delay * 2, longest);
  }

  function shut() {
    clearTimeout(timer);
    const own = socket;
    socket = null;
    own?.close();
    say("closed");
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(shut, hiddenFor);
    else { delay = first; open(); }
  });
  addEventListener("pagehide", shut);
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  open();
})();

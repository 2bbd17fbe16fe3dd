// Light or dark, before anything is drawn. A choice in the profile comes first, then the one that the console keeps in this
// browser, then the system's.
"use strict";

(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    if (root.dataset.preferred !== "auto") return root.dataset.preferred;
    try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; }
  };
  const apply = () => {
    const wanted = chosen();
    const shown = wanted === "auto" ? (dark.matches ? "dark" : "light") : wanted;
    root.dataset.theme = shown;
    root.dataset.bsTheme = shown;
    document.dispatchEvent(new CustomEvent("theme", { detail: shown }));
  };
  apply();
  dark.addEventListener("change", apply);

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("[data-theme-toggle]");
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.preferred = "auto";
      try { localStorage.setItem("theme", root.dataset.theme === "dark" ? "light" : "dark"); } catch { /* not kept */ }
      apply();
    });
  });
})();

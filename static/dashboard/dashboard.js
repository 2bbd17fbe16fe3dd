// Small comforts that pages do without where scripts are off: menus that close, texts that copy, forms that send themselves
// once, questions before what cannot be undone.
"use strict";

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) copyText(copy);
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// <button data-copy="#id" data-copied="Copied" hidden>: copies the text of that element.
async function copyText(button) {
  const source = document.querySelector(button.dataset.copy);
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    button.textContent = button.dataset.copied;
  } catch {
    getSelection().selectAllChildren(source);
    return;
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

// <form data-once>: a second press while the first is under way does nothing.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches("form[data-once]")) {
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
  }
  const question = event.submitter?.dataset.confirm ?? form.dataset.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
    delete form.dataset.sent;
  }
});
addEventListener("pageshow", () => { for (const form of document.querySelectorAll("form[data-once]")) delete form.dataset.sent; });

function prepare(root) {
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
  for (const field of root.querySelectorAll("form[data-auto] select")) {
    field.addEventListener("change", () => field.form.requestSubmit());
  }
}
document.addEventListener("DOMContentLoaded", () => prepare(document));
document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));

// A part of a page that refreshes itself after the session has ended would get the sign-in page: go there instead.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, pathInfo } = event.detail;
  if (xhr.responseURL && new URL(xhr.responseURL).pathname !== new URL(pathInfo.requestPath, location.href).pathname) {
    event.detail.shouldSwap = false;
    location.reload();
  }
});

// The order of a route's targets, by hand: rows are dragged by their handle, or moved by two buttons. What changes are the
// numbers in the fields Order and Tier, which can be typed as well: a row that is put between others gets into their tier.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const group = document.getElementById("targets-group");
  const body = group && group.querySelector("tbody");
  if (!body || !body.querySelector("input[name$='-place']")) return;
  const rows = () => [...body.querySelectorAll("tr.form-row:not(.empty-form)")];
  const place = (row) => row.querySelector("input[name$='-place']");
  const tier = (row) => row.querySelector("input[name$='-tier']");
  const number = (input) => Number.parseInt(input.value, 10) || 0;
  const news = document.createElement("p");
  news.className = "visually-hidden";
  news.setAttribute("role", "status");
  group.append(news);
  let dragged = null;
  let stood = null; // the row before which the dragged one stood

  function called(row) {
    const provider = row.querySelector("select[name$='-provider']");
    const model = row.querySelector("input[name$='-model']");
    return [provider && provider.selectedOptions[0] && provider.selectedOptions[0].text, model && model.value].filter(Boolean).join(": ");
  }

  function errorsOf(row) {
    const line = row.previousElementSibling;
    return line && line.classList.contains("row-form-errors") ? line : null;
  }

  // Puts a row before another one (or last), with the line of errors that belongs to it.
  function put(row, before) {
    if (before === row) return;
    const errors = errorsOf(row);
    const spot = before ? errorsOf(before) || before : body.querySelector("tr.empty-form, tr.add-row");
    body.insertBefore(row, spot);
    if (errors) body.insertBefore(errors, row);
  }

  // The row stands where it should: its tier is one between its neighbours', and all get their numbers.
  function settle(row) {
    const all = rows();
    const at = all.indexOf(row);
    const above = all[at - 1];
    const below = all[at + 1];
    let mine = number(tier(row));
    if (below) mine = Math.min(mine, number(tier(below)));
    if (above) mine = Math.max(mine, number(tier(above)));
    tier(row).value = mine;
    all.forEach((each, index) => { place(each).value = index + 1; });
    buttons();
    news.textContent = `${called(row)} is now number ${at + 1} of ${all.length}, in tier ${mine}. Save to keep it.`;
  }

  function move(row, step) {
    const all = rows();
    const to = all.indexOf(row) + step;
    if (to < 0 || to >= all.length) return;
    put(row, step < 0 ? all[to] : all[to + 1]);
    settle(row);
  }

  function buttons() {
    const all = rows();
    all.forEach((row, index) => {
      const [up, down] = row.querySelectorAll(".order-tools button");
      if (up) up.setAttribute("aria-disabled", String(index === 0));
      if (down) down.setAttribute("aria-disabled", String(index === all.length - 1));
    });
  }

  function button(row, text, label, step) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.setAttribute("aria-label", label);
    made.title = label;
    made.addEventListener("click", () => { move(row, step); made.focus(); });
    return made;
  }

  function equip(row) {
    const field = place(row);
    if (!field || row.querySelector(".order-tools")) return;
    const tools = document.createElement("span");
    tools.className = "order-tools";
    const handle = document.createElement("span");
    handle.className = "order-handle";
    handle.title = "Drag to another place";
    handle.setAttribute("aria-hidden", "true");
    handle.addEventListener("pointerdown", () => { row.draggable = true; });
    handle.addEventListener("pointerup", () => { row.draggable = false; });
    tools.append(handle, button(row, "↑", "Move up", -1), button(row, "↓", "Move down", 1));
    field.after(tools);
    row.addEventListener("dragstart", (event) => {
      dragged = row;
      stood = row.nextElementSibling;
      row.classList.add("dragged");
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", called(row));
    });
    row.addEventListener("dragend", (event) => {
      row.draggable = false;
      row.classList.remove("dragged");
      if (event.dataTransfer.dropEffect === "none") body.insertBefore(row, stood);
      else settle(row);
      dragged = null;
    });
  }

  body.addEventListener("dragover", (event) => {
    if (!dragged) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "move";
    const over = event.target.closest("tr.form-row:not(.empty-form)");
    if (!over || over === dragged) return;
    const box = over.getBoundingClientRect();
    const all = rows();
    put(dragged, event.clientY < box.top + box.height / 2 ? over : all[all.indexOf(over) + 1]);
  });
  body.addEventListener("drop", (event) => { if (dragged) event.preventDefault(); });

  // When a new row is removed again, Django numbers the forms as they stand; those that are stored have to come first.
  function renumber() {
    const all = rows();
    const stored = (row) => Boolean(row.querySelector("input[name$='-id']")?.value);
    [...all.filter(stored), ...all.filter((row) => !stored(row))].forEach((row, index) => {
      row.id = `targets-${index}`;
      for (const part of row.querySelectorAll("[name], [id], [for]")) {
        for (const name of ["name", "id", "for"]) {
          const value = part.getAttribute(name);
          if (value) part.setAttribute(name, value.replace(/targets-\d+-/, `targets-${index}-`));
        }
      }
    });
    buttons();
  }

  document.addEventListener("formset:added", (event) => {
    if (event.detail?.formsetName !== "targets") return;
    event.target.querySelector(".order-tools")?.remove();
    equip(event.target);
    place(event.target).value = rows().length;
    buttons();
  });
  document.addEventListener("formset:removed", (event) => {
    if (event.detail?.formsetName === "targets") setTimeout(renumber); // Django numbers them after it has said so
  });

  rows().forEach(equip);
  buttons();
});

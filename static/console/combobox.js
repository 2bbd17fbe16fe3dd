// Names the boxes in which a row is found by typing: they stand in place of a select, whose label they do not have.
"use strict";

(() => {
  const labelOf = (select) => {
    if (select.labels.length) return select.labels[0];
    const column = select.closest("td")?.cellIndex;
    return column === undefined ? null : select.closest("table").tHead?.rows[0]?.cells[column];
  };
  const name = () => {
    for (const select of document.querySelectorAll("select.admin-autocomplete")) {
      const box = select.nextElementSibling?.querySelector("[role=combobox]");
      const label = labelOf(select);
      if (!box || !label) continue;
      const shown = box.querySelector(".select2-selection__rendered");
      label.id ||= `${select.id}-label`;
      box.setAttribute("aria-labelledby", `${label.id} ${shown ? shown.id : ""}`.trim());
      shown?.setAttribute("aria-labelledby", label.id);
    }
  };
  new MutationObserver(name).observe(document.documentElement, { childList: true, subtree: true });
})();

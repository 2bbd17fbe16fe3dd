// Shows the fields of the chosen kind of credential. Without this script all of them are visible and named.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const kind = document.querySelector("#id_credential_kind");
  const format = document.querySelector("#id_format");
  if (!kind) return;

  function show() {
    for (const input of document.querySelectorAll("[data-credential-kinds]")) {
      const fits = input.dataset.credentialKinds.split(" ").includes(kind.value);
      input.closest(".form-row").hidden = !fits;
    }
    for (const option of kind.options) {
      const formats = (option.dataset.formats || "").split(" ");
      option.hidden = Boolean(format && option.value && !formats.includes(format.value));
    }
  }

  kind.addEventListener("change", show);
  if (format) format.addEventListener("change", show);
  show();
});

// The key that a server may ask for: typed in, kept in memory, gone with the page.

import { byId } from "./dom.js";
import { useKey } from "./talk.js";

const KEPT = byId("entry-reason").textContent;
const dialog = byId("entry");

/** True once a key was entered; false where the reader would rather not. `reason` says why it is asked for again. */
export function askForKey(reason = "") {
  byId("entry-reason").textContent = reason || KEPT;
  byId("key").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(taken()), { once: true });
  });
}

function taken() {
  const key = byId("key").value.trim();
  byId("key").value = "";
  if (dialog.returnValue !== "use" || !key) return false;
  useKey(key);
  return true;
}

byId("entry-cancel").addEventListener("click", () => dialog.close(""));

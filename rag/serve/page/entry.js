// The key that a server may ask for: typed in, kept in memory, gone with the page.

import { byId } from "./dom.js";
import { useKey } from "./talk.js";

const KEPT = byId("entry-reason").textContent;
const dialog = byId("entry");

let asking = null; // all that wait for a key wait for the same one

/** Run something; when the server asks for a key, ask for it and run it once more. */
export async function withKey(run) {
  for (let reason = ""; ; reason = "The server does not know this key.") {
    try {
      return await run();
    } catch (error) {
      if (error.status !== 401 || !(await askForKey(reason))) throw error;
    }
  }
}

/** True once a key was entered; false where the reader would rather not. `reason` says why it is asked for again. */
function askForKey(reason) {
  asking ??= entered(reason).finally(() => (asking = null));
  return asking;
}

function entered(reason) {
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

// The key that a server may ask for: typed in, kept in memory, gone with the page.

import { byId } from "./dom.js";
import { useKey } from "./talk.js";

const KEPT = byId("entry-reason").textContent;
const UNKNOWN = "The server does not know this key.";
const dialog = byId("entry");

let asking = null; // all that wait for a key wait for the same one
let times = 0; // how often the reader was asked
let answer = false; // and what came last: true for a key

/** Run something; when the server asks for a key, ask for it and run it once more. What was on its way before the reader
 *  answered takes that answer, and does not ask again. `quietly`: nor does what nobody asked for, once they would rather not. */
export async function withKey(run, { quietly = false } = {}) {
  if (quietly && asking) await asking;
  if (quietly && times && !answer) return run();
  for (let reason = quietly && answer ? UNKNOWN : ""; ; reason = UNKNOWN) {
    const before = dialog.open ? times - 1 : times;
    try {
      return await run();
    } catch (error) {
      if (error.status !== 401 || !(await (before === times ? askForKey(reason) : (asking ?? answer)))) throw error;
    }
  }
}

/** True once a key was entered; false where the reader would rather not. `reason` says why it is asked for again. */
async function askForKey(reason) {
  if (asking && !dialog.open) await asking; // closed, and a busy browser has not told its answer yet: that was another's
  asking ??= entered(reason).finally(() => (asking = null));
  return asking;
}

function entered(reason) {
  times += 1;
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
  answer = dialog.returnValue === "use" && Boolean(key);
  if (answer) useKey(key);
  return answer;
}

byId("entry-cancel").addEventListener("click", () => dialog.close(""));

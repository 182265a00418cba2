// Whether an answer was good: two buttons, where the server keeps a log of questions.

import { byId } from "./dom.js";
import { rate } from "./talk.js";

const SAID = { true: "Noted as good", false: "Noted as bad", null: "Taken back" };

/** Let whoever asked say what the entry of an answer was worth; a second press takes it back. */
export function offerFeedback(group, entry) {
  group.hidden = !entry;
  if (!entry) return;
  const buttons = [...group.querySelectorAll("button")];
  for (const button of buttons) button.addEventListener("click", () => press(button, buttons, entry));
}

async function press(button, buttons, entry) {
  const good = button.getAttribute("aria-pressed") === "true" ? null : button.value === "good";
  try {
    await rate(entry, good);
  } catch (error) {
    byId("said").textContent = error.message;
    return;
  }
  for (const each of buttons) each.setAttribute("aria-pressed", String(good === (each.value === "good")));
  byId("said").textContent = SAID[good];
}

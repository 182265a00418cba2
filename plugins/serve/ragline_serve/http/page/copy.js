// Buttons that copy a text, where the browser lets a page do that: over HTTPS, or on this machine.

import { byId } from "./dom.js";

const SHOWN_MS = 2000;

/** Let a button copy what `text()` gives, and say whether it did. */
export function offerCopy(button, label, text) {
  button.textContent = label;
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    const copied = await navigator.clipboard.writeText(text()).then(() => true, () => false);
    button.textContent = byId("said").textContent = copied ? "Copied" : "Could not copy";
    setTimeout(() => (button.textContent = label), SHOWN_MS);
  });
}

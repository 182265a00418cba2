// The passage beside the conversation: where it stands, what the answer says of it, and its supporting sentence.

import { byId, element, placeOf, tell, titleOf } from "./dom.js";
import { supportIn, unwrapped } from "./support.js";

const ROOM_BESIDE = matchMedia("(min-width: 70rem)");

const panel = byId("passage");
let cameFrom = null;

/** Show a source; where a claim is known, what it says and the sentence that it probably rests on. */
export function openPassage(source, claim = "", by = "model") {
  if (!panel.open) cameFrom = document.activeElement;
  tell(byId("passage-marker"), `Source ${source.marker}`);
  tell(byId("passage-title"), titleOf(source));
  tell(byId("passage-where"), placeOf(source));
  tell(byId("passage-id"), `${source.doc_id}${Number.isFinite(source.score) ? ` · score ${source.score.toFixed(3)}` : ""}`);
  const span = claim ? supportIn(source.text, claim) : null;
  showClaim(claim, by, span);
  showText(unwrapped(source.text), span);
  show();
}

export function closePassage() {
  if (!panel.open) return;
  panel.close();
  tidy();
}

/** Give the page and the focus back. At once: the event of closing comes later, when another passage may be open. */
function tidy() {
  document.body.classList.remove("reading");
  if (cameFrom?.isConnected) cameFrom.focus();
  cameFrom = null;
}

function showClaim(claim, by, span) {
  byId("passage-claim").hidden = !claim;
  byId("passage-quote").textContent = claim;
  const cited = by === "model" ? "The model cites this passage" : "The model cites nothing here; the passage uses its words";
  const shown = span ? "marked is the sentence that shares most words with the claim" : "no sentence stands out by its words";
  byId("passage-reason").textContent = `${cited}; ${shown}.`;
}

function showText(text, span) {
  const place = byId("passage-text");
  const [start, end] = span ?? [text.length, text.length];
  place.replaceChildren(text.slice(0, start));
  if (span) place.append(markOf(text.slice(start, end)), text.slice(end));
}

function markOf(text) {
  const mark = element("mark");
  mark.append(element("span", "unseen", "Marked: "), text, element("span", "unseen", " End of mark. "));
  return mark;
}

function show() {
  if (!panel.open) {
    if (ROOM_BESIDE.matches) panel.show();
    else panel.showModal();
    document.body.classList.add("reading");
  }
  byId("passage-title").focus({ preventScroll: true });
  panel.scrollTop = 0;
  panel.querySelector("mark")?.scrollIntoView({ block: "center" });
}

panel.addEventListener("close", () => {
  if (!panel.open) tidy(); // closed by the browser itself, such as a gesture to go back
});
byId("passage-close").addEventListener("click", closePassage);
panel.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  event.preventDefault();
  event.stopPropagation(); // one press closes the passage and does not also stop an answer
  closePassage();
});

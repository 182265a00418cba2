// The passage beside the conversation: where it stands, what the answer says of it, and its supporting sentence.

import { unitsOf, unwrapped } from "./claim.js";
import { byId, element, placeOf, tell, titleOf } from "./dom.js";
import { withKey } from "./entry.js";
import { begun, drawn } from "./parts.js";
import { documentOf } from "./talk.js";
import { originalOf, wayTo, wholeOf } from "./ways.js";

const ROOM_BESIDE = matchMedia("(min-width: 70rem)");

const panel = byId("passage");
let cameFrom = null;
let shown = null; // what the panel shows: an answer from the server that comes late is not for another passage

/** Where a passage is open beside the conversation, show that of the newest answer instead; none closes it. */
export function followPassage(source, cited) {
  if (!panel.open || panel.matches(":modal")) return;
  if (source) fill(source, cited);
  else closePassage();
}

/** Show a source; where it is cited, what for, and the sentence that the server found to share most words with that. */
export async function openPassage(source, cited) {
  await begun;
  if (!panel.open) cameFrom = document.activeElement;
  open();
  fill(source, cited);
  byId("passage-title").focus({ preventScroll: true });
}

/** Show a passage that a link names, with its document around it. Fails where it is not there, or may not be read. */
export async function openDocument(passage, model) {
  const [found] = await Promise.all([withKey(() => documentOf(passage, model)), begun]);
  if (!panel.open) cameFrom = document.activeElement;
  open();
  shown = found;
  const asked = found.passages[found.asked];
  tell(byId("passage-marker"), "Document");
  tell(byId("passage-title"), titleOf(asked));
  tell(byId("passage-where"), placeOf(asked));
  tell(byId("passage-id"), asked.doc_id);
  showClaim("");
  showWays([originalOf(found.url)]);
  showWhole(found);
}

/** All of the document in the place of the passage. */
function showWhole(found) {
  byId("passage-text").replaceChildren(...wholeOf(found));
  const asked = byId("passage-text").querySelector(".asked");
  asked.scrollIntoView({ block: "center" });
  asked.focus({ preventScroll: true });
}

async function readAround(source) {
  const found = await withKey(() => documentOf(source.doc_id)).catch((error) => error);
  if (shown !== source) return;
  const failed = found instanceof Error;
  showWays([originalOf(source.url), failed && element("span", "small", found.message)]);
  if (!failed) showWhole(found);
}

function showWays(ways) {
  byId("passage-ways").replaceChildren(...ways.filter(Boolean));
}

const number = (name, value) => (Number.isFinite(value) ? `${name} ${value.toFixed(3)}` : "");

function fill(source, { claim = "", by = "model", support } = {}) {
  shown = source;
  tell(byId("passage-marker"), `Source ${source.marker}`);
  tell(byId("passage-title"), titleOf(source));
  tell(byId("passage-where"), placeOf(source));
  tell(byId("passage-id"), [source.doc_id, number("score", source.score), number("relevance", source.relevance)].filter(Boolean).join(" · "));
  const span = support && spanOf(source.text, support);
  showClaim(claim, by, span);
  showWays([originalOf(source.url), wayTo("Read the document", () => readAround(source))]);
  showText(unwrapped(source.text), span);
  byId("passage-text").prepend(...drawn(source, span && { start: span[0], end: span[1] }));
  panel.scrollTop = 0;
  panel.querySelector("mark")?.scrollIntoView({ block: "center" });
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

/** Code points become UTF-16 units. */
function spanOf(text, { start, end }) {
  const units = unitsOf(text);
  return [units[start], units[end]];
}

/** `span` is undefined as long as the answer is being written: what supports it is not known before its end. */
function showClaim(claim, by, span) {
  byId("passage-claim").hidden = !claim;
  byId("passage-quote").textContent = claim;
  const cited = by === "model" ? "The model cites this passage" : "The model cites nothing here; the passage uses its words";
  const shown = span ? "marked is the sentence that shares most words with the claim" : "no sentence stands out by its words";
  byId("passage-reason").textContent = span === undefined ? `${cited}.` : `${cited}; ${shown}.`;
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

function open() {
  if (panel.open) return;
  if (ROOM_BESIDE.matches) panel.show();
  else panel.showModal();
  document.body.classList.add("reading");
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

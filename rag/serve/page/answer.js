// An answer's text with its citations as buttons. It grows piece by piece and is set once more when it is whole.

import { element, titleOf } from "./dom.js";
import { claimAt } from "./support.js";

const MARKER = /\[\s*(\d+(?:\s*[,;]\s*\d+)*)\s*\]/;

export class AnswerText {
  /** `open(source, claim, by)` shows a passage. */
  constructor(place, open) {
    this.place = place;
    this.open = open;
    this.sources = new Map();
    this.text = "";
    this.tail = ""; // what stands after the last marker
    this.tailNode = place.appendChild(document.createTextNode(""));
  }

  know(sources) {
    this.sources = new Map(sources.map((source) => [source.marker, source]));
  }

  add(piece) {
    this.text += piece;
    this.tail += piece;
    for (let found = MARKER.exec(this.tail); found; found = MARKER.exec(this.tail)) {
      const numbers = found[1].split(/[,;]/).map(Number);
      if (!numbers.every((number) => this.sources.has(number))) break;
      this.tailNode.data = this.tail.slice(0, found.index);
      this.tail = this.tail.slice(found.index + found[0].length);
      const start = this.text.length - this.tail.length - found[0].length;
      this.place.append(this.markers(numbers, { start, claim: claimAt(this.text, start), by: "model" }));
      this.tailNode = this.place.appendChild(document.createTextNode(""));
    }
    this.tailNode.data = this.tail;
  }

  /** Set the whole text again from its checked citations; whoever stood on a marker still stands on it. */
  finish(citations) {
    const stoodAt = this.place.contains(document.activeElement) ? document.activeElement.dataset.start : null;
    this.place.replaceChildren(...this.pieces(citations));
    if (stoodAt !== null) this.place.querySelector(`[data-start="${Number(stoodAt)}"]`)?.focus();
  }

  /** What a citation supports, in words. */
  claimOf({ start, end, by }) {
    const units = unitsOf(this.text);
    return by === "model" ? claimAt(this.text, units[start]) : this.text.slice(units[start], units[end]);
  }

  *pieces(citations) {
    let at = 0;
    for (const { start, end, by, numbers } of spans(this.text, citations)) {
      if (start < at) continue;
      yield document.createTextNode(this.text.slice(at, start));
      const said = this.text.slice(start, end);
      const guessed = by !== "model";
      if (guessed) yield element("span", "matched", said);
      yield this.markers(numbers, { start, by, claim: guessed ? said : claimAt(this.text, start) });
      at = end;
    }
    yield document.createTextNode(this.text.slice(at));
  }

  markers(numbers, { start, claim, by }) {
    const group = element("span", "cites");
    for (const number of numbers) {
      const source = this.sources.get(number);
      if (source) group.append(this.marker(source, start, claim, by));
    }
    return group;
  }

  marker(source, start, claim, by) {
    const button = element("button", by === "model" ? "cite" : "cite guess", String(source.marker));
    button.type = "button";
    button.dataset.start = start;
    button.ariaHasPopup = "dialog";
    button.ariaLabel = `Source ${source.marker}${by === "model" ? "" : ", matched by words"}: ${titleOf(source)}`;
    button.addEventListener("click", () => this.open(source, claim, by));
    return button;
  }
}

/** Citations that share a span, together, in the order of the text; code points become UTF-16 units. */
function spans(text, citations) {
  const units = unitsOf(text);
  const found = new Map();
  for (const { marker, start, end, by } of citations) {
    const span = found.get(`${start}-${end}-${by}`) ?? { start: units[start], end: units[end], by, numbers: [] };
    span.numbers.push(marker);
    found.set(`${start}-${end}-${by}`, span);
  }
  return [...found.values()].filter((span) => span.end !== undefined).sort((a, b) => a.start - b.start);
}

/** Code point number -> position in UTF-16 units, the end of the text included. */
function unitsOf(text) {
  const units = [0];
  for (const character of text) units.push(units.at(-1) + character.length);
  return units;
}

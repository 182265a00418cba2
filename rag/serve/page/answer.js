// An answer's text with its citations as buttons. It grows piece by piece and is set once more when it is whole.

import { element, titleOf } from "./dom.js";
import { claimAt, unitsOf } from "./claim.js";

const MARKER = /\[\s*(\d+(?:\s*[,;]\s*\d+)*)\s*\]/;

export class AnswerText {
  /** `open(source, cited)` shows a passage; `cited` holds the claim, `by` whom, and, in a whole answer, its `support`. */
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
      const cited = { claim: claimAt(this.text, start), by: "model" };
      this.place.append(this.markers(start, numbers.map((marker) => ({ marker, ...cited }))));
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
    for (const { start, end, by, cited } of spans(this.text, citations)) {
      if (start < at) continue;
      yield document.createTextNode(this.text.slice(at, start));
      const said = this.text.slice(start, end);
      const guessed = by !== "model";
      if (guessed) yield element("span", "matched", said);
      const claim = guessed ? said : claimAt(this.text, start);
      yield this.markers(start, cited.map((citation) => ({ ...citation, claim })));
      at = end;
    }
    yield document.createTextNode(this.text.slice(at));
  }

  markers(start, cited) {
    const group = element("span", "cites");
    for (const one of cited) {
      const source = this.sources.get(one.marker);
      if (source) group.append(this.marker(source, start, one));
    }
    return group;
  }

  marker(source, start, cited) {
    const { by } = cited;
    const button = element("button", by === "model" ? "cite" : "cite guess", String(source.marker));
    button.type = "button";
    button.dataset.start = start;
    button.ariaHasPopup = "dialog";
    button.ariaLabel = `Source ${source.marker}${by === "model" ? "" : ", matched by words"}: ${titleOf(source)}`;
    button.addEventListener("click", () => this.open(source, cited));
    return button;
  }
}

/** Citations that share a span, together, in the order of the text; code points become UTF-16 units. */
function spans(text, citations) {
  const units = unitsOf(text);
  const found = new Map();
  for (const citation of citations) {
    const { start, end, by } = citation;
    const span = found.get(`${start}-${end}-${by}`) ?? { start: units[start], end: units[end], by, cited: [] };
    span.cited.push(citation);
    found.set(`${start}-${end}-${by}`, span);
  }
  return [...found.values()].filter((span) => span.end !== undefined).sort((a, b) => a.start - b.start);
}

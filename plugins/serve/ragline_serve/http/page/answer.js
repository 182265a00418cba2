// An answer's text: prose with its citations as buttons, and code. It grows piece by piece and is set once more when it is whole.

import { blocksOf, settled } from "./blocks.js";
import { claimAt, unitsOf } from "./claim.js";
import { Code } from "./code.js";
import { element, titleOf } from "./dom.js";
import { doubtsOf, wordsOf } from "./verdict.js";

const MARKER = /\[\s*(\d+(?:\s*[,;]\s*\d+)*)\s*\]/;

export class AnswerText {
  /** `open(source, cited)` shows a passage; `cited` holds the claim, `by` whom, and, in a whole answer, its `support`. */
  constructor(place, open) {
    this.place = place;
    this.open = open;
    this.sources = new Map();
    this.text = "";
    this.doubts = []; // sentences that no passage supports, in UTF-16 units
    this.parts = []; // what is shown of each block; all but the last stay as they are
  }

  know(sources) {
    this.sources = new Map(sources.map((source) => [source.marker, source]));
  }

  add(piece) {
    this.text += piece;
    const text = settled(this.text);
    const blocks = blocksOf(text);
    for (let n = Math.max(this.parts.length - 1, 0); n < blocks.length; n++) {
      this.parts[n] ??= this.begin(blocks[n]);
      this.parts[n].grow(text.slice(blocks[n].start, blocks[n].end));
    }
  }

  begin(block) {
    const part = block.language === undefined ? new Prose(this, block.start) : new Code(block);
    this.place.append(part.element);
    return part;
  }

  /** Set the whole text again from its checked citations and sentences; whoever stood on a button still stands on it. */
  finish(citations, verdicts = []) {
    const units = unitsOf(this.text);
    this.doubts = doubtsOf(verdicts).map((one) => ({ ...one, start: units[one.start], end: units[one.end] }));
    const stoodAt = this.place.contains(document.activeElement) ? document.activeElement.dataset.start : undefined;
    const cited = spans(this.text, citations);
    this.place.replaceChildren(...blocksOf(this.text).map((block) => this.whole(block, cited)));
    if (stoodAt !== undefined) this.place.querySelector(`[data-start="${Number(stoodAt)}"]`)?.focus();
  }

  /** What a citation supports, in words. */
  claimOf({ start, end, by }) {
    const units = unitsOf(this.text);
    return by === "model" ? claimAt(this.text, units[start]) : this.text.slice(units[start], units[end]);
  }

  whole(block, cited) {
    if (block.language !== undefined) {
      const code = new Code(block);
      code.grow(this.text.slice(block.start, block.end));
      return code.element;
    }
    const prose = element("p");
    prose.append(...this.pieces(block, cited));
    return prose;
  }

  /** The text of a block of prose, with what is cited in it. */
  *pieces(block, found) {
    let at = block.start;
    for (const { start, end, by, cited } of found) {
      if (start < at || start >= block.end) continue;
      yield* this.said(at, start);
      const said = this.text.slice(start, Math.min(end, block.end));
      const guessed = by !== "model";
      if (guessed) yield element("span", "matched", said);
      const claim = guessed ? said : claimAt(this.text, start);
      yield this.markers(start, cited.map((citation) => ({ ...citation, claim })));
      at = Math.min(end, block.end);
    }
    yield* this.said(at, block.end);
  }

  /** Plain text; what lies in a doubtful sentence is underlined, and the verdict follows its last word. */
  *said(from, to) {
    let at = from;
    for (const doubt of this.doubts) {
      if (doubt.told || doubt.end < from || doubt.start >= to) continue;
      const [start, end] = [Math.max(at, doubt.start), Math.min(to, doubt.end)];
      yield document.createTextNode(this.text.slice(at, start));
      if (start < end) yield element("span", "doubted", this.text.slice(start, end));
      at = Math.max(at, end);
      if (doubt.end > to) continue; // a citation stands in it, and then it goes on
      doubt.told = true;
      yield element("span", "verdict", wordsOf(doubt));
    }
    yield document.createTextNode(this.text.slice(at, to));
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

/** Prose that is being written. A marker of known sources becomes a button as soon as it is there. */
class Prose {
  constructor(answer, start) {
    this.answer = answer;
    this.start = start; // of the block
    this.read = 0; // characters of the block up to the end of its last marker
    this.element = element("p");
    this.tailNode = this.element.appendChild(document.createTextNode(""));
  }

  grow(text) {
    for (let found = MARKER.exec(text.slice(this.read)); found; found = MARKER.exec(text.slice(this.read))) {
      const numbers = found[1].split(/[,;]/).map(Number);
      if (!numbers.every((number) => this.answer.sources.has(number))) break;
      this.tailNode.data = text.slice(this.read, this.read + found.index);
      const start = this.start + this.read + found.index;
      const cited = { claim: claimAt(this.answer.text, start), by: "model" };
      this.element.append(this.answer.markers(start, numbers.map((marker) => ({ marker, ...cited }))));
      this.tailNode = this.element.appendChild(document.createTextNode(""));
      this.read += found.index + found[0].length;
    }
    this.tailNode.data = text.slice(this.read);
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

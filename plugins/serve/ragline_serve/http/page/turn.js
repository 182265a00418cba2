// One question and what became of it, on the page.

import { AnswerText } from "./answer.js";
import { offerCopy } from "./copy.js";
import { beginningOf, copyOf, placeOf, tell, titleOf } from "./dom.js";
import { offerFeedback } from "./feedback.js";
import { begun, drawnBelow } from "./parts.js";
import { followPassage, openPassage } from "./passage.js";
import { showStages } from "./stages.js";
import { summaryOf, surenessOf } from "./verdict.js";

const NOTES = {
  no_answer: "The passages hold no answer to this.",
  failed: "The model gave no usable answer.",
  length: "The answer was cut off at its greatest length.",
};

const USES = { model: "cited", attribution: "matched by words" };

/** How a source is used; a warning where no sentence of it has the words that it is cited for. */
const useOf = (cited, mine) =>
  mine.some((citation) => citation.similar) ? USES[cited.by] : `${USES[cited.by]}, but no sentence of it has such words`;

/** What was searched in place of words that hardly a document has. */
const nearOf = (near) =>
  Object.entries(near).map(([word, meant]) => `Did you mean: ${meant.join(" or ")}? For “${word}”`).join(", ");

export class Turn {
  /** `within`: the filters of the question, in words; empty without any. */
  constructor(question, within = "") {
    this.begun = performance.now();
    this.question = question;
    this.within = within;
    this.element = copyOf("turn-form");
    this.find(".question").textContent = question;
    tell(this.find(".within"), within && `Filtered: ${within}`);
    this.answer = new AnswerText(this.find(".answer"), openPassage);
    this.sources = [];
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  get text() {
    return this.answer.text;
  }

  /** What happens now, until the first word. */
  get waitsFor() {
    const n = this.sources.length;
    return n ? `Reading ${n} ${n === 1 ? "passage" : "passages"}` : "Writing";
  }

  /** What was found, shown before the first word: it takes a model a while to read it. */
  found(said) {
    const { sources = [], query = this.question, near = {} } = said;
    this.sources = sources;
    this.answer.know(sources);
    this.find(".waiting-for").textContent = this.waitsFor;
    this.showSources("found");
    this.find(".searched q").textContent = query;
    this.find(".searched").hidden = query === this.question;
    tell(this.find(".near"), nearOf(near));
    begun.then(() => this.find(".below").replaceChildren(...drawnBelow(this, said)));
  }

  write(piece) {
    this.find(".waiting").hidden = true;
    this.answer.add(piece);
  }

  /** The answer is whole. A passage that is open beside the conversation gives way to the first one that it cites. */
  finish(ragline) {
    this.show(ragline, (performance.now() - this.begun) / 1000);
    const [cited] = ragline.citations;
    const source = this.sources.find(({ marker }) => marker === cited?.marker);
    followPassage(source, cited && { ...cited, claim: this.answer.claimOf(cited) });
  }

  /** An answer from before the page was loaded again. */
  again(text, ragline, seconds) {
    this.found(ragline);
    this.write(text);
    this.show(ragline, seconds);
  }

  show(ragline, seconds) {
    this.seconds = seconds;
    this.found(ragline);
    this.answer.finish(ragline.citations, ragline.verdicts);
    this.showSources("read, not cited", ragline.citations);
    showStages(this.find(".stages"), ragline, seconds);
    const nothing = this.within && !this.sources.length && "Nothing was found under these filters. Remove some, and ask again.";
    const note = nothing || (NOTES[ragline.status] ?? NOTES[ragline.finish_reason] ?? "");
    this.end([note, surenessOf(ragline.confidence), summaryOf(ragline.verdicts)].filter(Boolean).join(" "));
    if (this.text) offerCopy(this.find("article > .copy"), "Copy answer", () => this.text);
    offerFeedback(this.find(".feedback"), ragline.entry);
  }

  stopped() {
    this.showSources("read");
    this.end("You stopped this answer.");
  }

  /** Show what went wrong and, where asking again can help, a button that does. */
  failed(error, again) {
    if (error.ragline) {
      this.found(error.ragline);
      showStages(this.find(".stages"), error.ragline, (performance.now() - this.begun) / 1000);
    }
    this.showSources("found");
    const wait = error.after ? ` Try again in ${error.after} s.` : "";
    this.find(".problem p").textContent = `${error.message}${wait}`;
    this.find(".problem button").hidden = !again;
    if (again) this.find(".problem button").addEventListener("click", again);
    this.find(".problem").hidden = false;
    this.end("");
  }

  end(note) {
    this.find(".waiting").hidden = true;
    tell(this.find(".note"), note);
  }

  /** The passages; `uncited` says what those are that no citation names. */
  showSources(uncited, citations = []) {
    if (!this.sources.length) return;
    this.find(".sources").hidden = false;
    this.find(".sources ol").replaceChildren(...this.sources.map((source) => this.card(source, citations, uncited)));
  }

  /** Whether another source is called the same and stands at the same place. */
  hasTwin(source) {
    const named = (each) => `${titleOf(each)}\n${placeOf(each)}`;
    return this.sources.some((other) => other !== source && named(other) === named(source));
  }

  card(source, citations, uncited) {
    const made = copyOf("source-form");
    const mine = citations.filter((citation) => citation.marker === source.marker);
    const cited = mine.find((citation) => citation.by === "model") ?? mine[0];
    made.querySelector(".number").textContent = source.marker;
    made.querySelector(".title").textContent = titleOf(source);
    made.querySelector(".where").textContent = placeOf(source);
    tell(made.querySelector(".begins"), this.hasTwin(source) ? beginningOf(source) : "");
    made.querySelector(".use").textContent = cited ? useOf(cited, mine) : uncited;
    made.querySelector(".source").addEventListener("click", () => this.open(source, cited));
    return made;
  }

  open(source, cited) {
    if (cited) openPassage(source, { ...cited, claim: this.answer.claimOf(cited) });
    else openPassage(source);
  }
}

// What a citation stands for: the sentence that its marker belongs to, and positions in texts.

const SENTENCES = new Intl.Segmenter(undefined, { granularity: "sentence" });
const MARKERS = /\[[\d\s,;]+\]/g;

/** The sentence that a marker at `start` (UTF-16 units) belongs to: the one before it, or after it at the very beginning. */
export function claimAt(answer, start) {
  const before = answer.slice(0, start).replace(MARKERS, "").trimEnd();
  const after = answer.slice(start).replace(MARKERS, "").trimStart();
  return (sentencesOf(before).at(-1) ?? sentencesOf(after)[0])?.trim() ?? "";
}

/** A passage without the line breaks that only wrap its lines; its length stays, and code and tables stay as they are. */
export function unwrapped(text) {
  const laidOut = /^(?: {2}|\t|```|\|)/m.test(text);
  return laidOut ? text : text.replace(/(?<=[^\n]{50})\n(?=[\p{L}\d("'“‘])/gu, " ");
}

/** Code point number -> position in UTF-16 units, the end of the text included. */
export function unitsOf(text) {
  const units = [0];
  for (const character of text) units.push(units.at(-1) + character.length);
  return units;
}

const sentencesOf = (text) => [...SENTENCES.segment(unwrapped(text))].map(({ segment }) => segment);

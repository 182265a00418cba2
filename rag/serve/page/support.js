// Which sentence of a passage a claim rests on: a guess by shared words, and said to be one wherever it is shown.

const SENTENCES = new Intl.Segmenter(undefined, { granularity: "sentence" });
const WORDS = new Intl.Segmenter(undefined, { granularity: "word" });
const LEAST_SHARE = 0.25;
const MARKERS = /\[[\d\s,;]+\]/g;

/** The sentence that a marker at `start` (UTF-16 units) belongs to: the one before it, or after it at the very beginning. */
export function claimAt(answer, start) {
  const before = answer.slice(0, start).replace(MARKERS, "").trimEnd();
  const after = answer.slice(start).replace(MARKERS, "").trimStart();
  return (sentencesOf(before).at(-1) ?? sentencesOf(after)[0])?.text.trim() ?? "";
}

/**
 * [start, end) in UTF-16 units of the sentence that shares most with the claim, rare words counting more; null where
 * no sentence holds a quarter of it.
 */
export function supportIn(passage, claim) {
  const sentences = sentencesOf(passage).map((sentence) => ({ ...sentence, words: wordsOf(sentence.text) }));
  const weight = rarity(sentences);
  const claimed = [...wordsOf(claim)];
  const whole = sum(claimed.map(weight));
  if (!whole || !sentences.length) return null;
  const share = ({ words }) => sum(claimed.filter((word) => words.has(word)).map(weight)) / whole;
  const best = sentences.map((s) => ({ ...s, share: share(s) })).reduce((a, b) => (b.share > a.share ? b : a));
  return best.share < LEAST_SHARE ? null : trimmed(passage, best.start, best.end);
}

/** A passage without the line breaks that only wrap its lines; its length stays, and code and tables stay as they are. */
export function unwrapped(text) {
  const laidOut = /^(?: {2}|\t|```|\|)/m.test(text);
  return laidOut ? text : text.replace(/(?<=[^\n]{50})\n(?=[\p{L}\d("'“‘])/gu, " ");
}

function sentencesOf(text) {
  return [...SENTENCES.segment(unwrapped(text))].map(({ segment, index }) => ({
    text: segment,
    start: index,
    end: index + segment.length,
  }));
}

function wordsOf(text) {
  const found = [...WORDS.segment(text.normalize("NFKC").toLowerCase())];
  return new Set(found.filter((piece) => piece.isWordLike).map((piece) => piece.segment));
}

function rarity(sentences) {
  const count = (word) => sentences.filter(({ words }) => words.has(word)).length;
  return (word) => Math.log(1 + sentences.length / (1 + count(word)));
}

function trimmed(text, start, end) {
  const cut = text.slice(start, end);
  return [start + (cut.length - cut.trimStart().length), end - (cut.length - cut.trimEnd().length)];
}

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

// What a check says of the sentences of an answer, in words. "supported" is said only by a means that was measured for it.

const WORDS = { supported: "supported", contradicted: "contradicted", unsupported: "not in the passages", similar: "similar" };

/** Verdicts that a reader must see at their sentence. */
export const doubtsOf = (verdicts) => verdicts.filter(({ kind }) => kind === "unsupported" || kind === "contradicted");

export function wordsOf({ kind, by, marker }) {
  if (kind === "similar" && by === "words") return "similar words";
  return kind === "contradicted" && marker ? `contradicted by ${marker}` : WORDS[kind] ?? String(kind);
}

/** How sure the server is of an answer; empty where nobody calibrated it. */
export const surenessOf = (confidence) => (Number.isFinite(confidence) ? `Right with a chance of ${Math.round(100 * confidence)}%.` : "");

// What one sentence is, and what several are.
const SAID = {
  supported: ["is supported by a passage", "are supported by a passage"],
  contradicted: ["contradicts a passage", "contradict a passage"],
  unsupported: ["is not in the passages", "are not in the passages"],
  similar: ["is like what a passage says", "are like what a passage says"],
};

/** One line on all of them, of what was looked at and no more; empty where nothing was checked. */
export function summaryOf(verdicts = []) {
  const n = verdicts.length;
  if (!n) return "";
  const like = verdicts.filter(({ kind, by }) => kind === "similar" && by === "words");
  const counts = new Map();
  for (const { kind } of verdicts.filter((verdict) => !like.includes(verdict))) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const all = like.length ? "" : `of ${n} ${n > 1 ? "sentences" : "sentence"} `;
  const parts = [...counts].map(([kind, some], at) => `${some} ${at ? "" : all}${(SAID[kind] ?? [kind, kind])[some > 1 ? 1 : 0]}`);
  if (!like.length) return `${parts.join(", ")} (checked by ${verdicts[0].by}).`;
  const markers = [...new Set(like.map(({ marker }) => marker))].sort((a, b) => a - b);
  const where = `${markers.length > 1 ? "passages" : "passage"} ${markers.join(", ")}`;
  const whose = n > 1 ? `The words of ${like.length} of ${n} sentences` : "Its words";
  const told = [`${whose} stand in ${where}`, ...parts].join(", ");
  return `${told}; whether ${n > 1 ? "they answer" : "it answers"} the question was not checked.`;
}

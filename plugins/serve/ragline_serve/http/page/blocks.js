// Where an answer is prose, and where it is fenced code.

const FENCE = /^[ \t]*(`{3,}|~{3,})[ \t]*([^`\n]*)$/;
const UNSETTLED = /(?:^|\n)[ \t]*(?:`{1,2}|~{1,2}|(?:`{3,}|~{3,})[^`\n]*)$/; // may become a fence

/** What of a text that still grows is sure to stay as it is read now. */
export const settled = (text) => text.replace(UNSETTLED, "\n");

/**
 * The blocks of an answer in its order: `start` and `end` (UTF-16 units) of what is shown, and `language`, undefined for
 * prose. Neither fences nor the empty lines around a block are shown. A fence that is never closed ends with the text.
 */
export function blocksOf(text) {
  const blocks = [];
  let block = { start: 0, end: text.length };
  let fence = "";
  for (const { 0: line, index } of text.matchAll(/[^\n]+/g)) {
    const [, marks, rest] = FENCE.exec(line.trimEnd()) ?? [];
    const closes = fence && marks?.startsWith(fence) && !rest;
    if (!marks || (fence && !closes)) continue;
    blocks.push({ ...block, end: index });
    block = { start: index + line.length, end: text.length, ...(!fence && { language: rest.trim().split(/\s/)[0] }) };
    fence = fence ? "" : marks;
  }
  const shown = [...blocks, block].map((one) => bare(text, one));
  return shown.filter(({ start, end, language }) => start < end || language !== undefined);
}

/** A block without the lines that only set it apart; code keeps its own empty lines. */
function bare(text, { start, end, language }) {
  if (language === undefined) {
    while (start < end && text[start] === "\n") start++;
    while (start < end && text[end - 1] === "\n") end--;
  } else {
    if (text[start] === "\n") start++;
    if (start < end && text[end - 1] === "\n") end--;
  }
  return { start, end, language };
}

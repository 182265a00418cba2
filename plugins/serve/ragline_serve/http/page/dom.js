// The few things that every part of the page does with elements. Text only ever enters through textContent.

export const byId = (id) => document.getElementById(id);

/** A new element with a class and a text. */
export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** A copy of the first element of a <template>. */
export const copyOf = (templateId) => byId(templateId).content.firstElementChild.cloneNode(true);

/** Show a text in an element, or hide the element where there is none. */
export function tell(node, text) {
  node.textContent = text;
  node.hidden = !text;
}

/** Where a passage stands: in which of several indexes, and where in its source. */
export function placeOf({ position = {} }) {
  const { index_name: index, source, page, headings = [] } = position;
  const parts = [index, source, ...[headings].flat().filter(Boolean), page && `page ${page}`];
  return parts.filter(Boolean).join(" › ");
}

/** The first words of a passage, on one line. */
export function beginningOf({ text }) {
  const line = [...text.slice(0, 1000).replace(/\s+/gu, " ").trim()];
  return line.length > 120 ? `${line.slice(0, 120).join("")}…` : line.join("");
}

export const titleOf = ({ title, doc_id }) => title || doc_id;

/** A time that people can read, from seconds. */
export function seconds(value) {
  if (value < 0.001) return "under 1 ms";
  return value < 0.0995 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(value < 10 ? 1 : 0)} s`;
}

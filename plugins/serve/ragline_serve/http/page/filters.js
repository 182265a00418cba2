// Filters on what the documents say of themselves: chosen in a dialog, shown above the question, sent with each one.

import { byId, element, tell } from "./dom.js";
import { withKey } from "./entry.js";
import { countsOf, fieldsOf } from "./talk.js";

const MOST = 16;
const SIGNS = { is: "is", gte: "from", lte: "to" };
const CONNECTIVES = ["and", "or", "not"];

const dialog = byId("filters");
let fields = [];
let chosen = []; // { name, operator, value }, in the order in which they were chosen
let lookedAt = chosen;
let model = "";

/** The filter of the next question as the server reads it; none where nothing is chosen. */
export function where() {
  if (!chosen.length) return undefined;
  const made = Object.create(null); // a field may have any name, also one that every object knows
  for (const { name, operator, value } of chosen) {
    const key = CONNECTIVES.includes(name) ? `"${name}"` : name; // else it would join other filters
    const held = (made[key] ??= {});
    if (operator === "is") (held.in ??= []).push(value);
    else held[operator] = value;
  }
  return made;
}

/** The same in words; empty where nothing is chosen. */
export const within = () => chosen.map(wordsOf).join(", ");

const wordsOf = ({ name, operator, value }) => `${name} ${SIGNS[operator]} ${value}`;

/** From now on filters can be chosen, of the index of this model. */
export function offerFilters(name) {
  model = name;
  byId("filter").hidden = false;
}

async function openFilters() {
  dialog.showModal();
  await look();
  byId("filter-field").replaceChildren(...fields.map(({ name }) => new Option(name, name)));
  for (const part of dialog.querySelectorAll(".choose > *")) part.hidden = !fields.length;
  showField();
}

/** Learn the fields, and say how many passages the filters leave. */
async function look() {
  const asked = (lookedAt = chosen);
  tell(byId("filters-left"), "Looking at the documents");
  const found = await withKey(() => fieldsOf({ model, where: where() })).catch((error) => error);
  if (asked !== lookedAt) return; // other filters are chosen by now
  if (!(found instanceof Error)) fields = found.fields;
  tell(byId("filters-left"), found.message ?? (fields.length ? leftOf(found) : "These documents have no fields to filter by."));
}

function leftOf({ passing, passages }) {
  if (!chosen.length) return `${count(passages)} passages`;
  return passing ? `${count(passing)} of ${count(passages)} passages` : "These filters leave no passage. Remove some.";
}

/** The field that is picked in the list: its operators and its values. */
function showField() {
  const field = fields.find(({ name }) => name === byId("filter-field").value);
  if (!field) return;
  const ordered = ["date", "number"].includes(field.kind);
  const operators = Object.entries(SIGNS).slice(0, ordered ? undefined : 1);
  byId("filter-operator").replaceChildren(...operators.map(([name, words]) => new Option(words, name)));
  byId("filter-value").value = "";
  byId("filter-values").replaceChildren(...field.values.map((value) => new Option("", String(value))));
  showCounts(field);
}

/** Beside each value how many documents have it, of those that the question in the box finds by its words. */
async function showCounts({ name }) {
  const question = byId("question").value.trim();
  if (!question) return;
  const counts = await countsOf({ model, question, field: name, where: where() }).catch(() => new Map());
  if (name !== byId("filter-field").value) return; // another field is picked by now
  for (const option of byId("filter-values").options) {
    if (counts.has(option.value)) option.label = `${option.value} (${count(counts.get(option.value))})`;
  }
}

/** What was typed, as the documents have it: a number where they have numbers. */
function valueOf(field, text) {
  const known = field.values.find((value) => String(value) === text);
  const number = field.kind === "number" && text.trim() ? Number(text) : NaN;
  return known ?? (Number.isFinite(number) ? number : text);
}

function choose() {
  const field = fields.find(({ name }) => name === byId("filter-field").value);
  const text = byId("filter-value").value;
  if (!field || !text || chosen.length >= MOST) return;
  const one = { name: field.name, operator: byId("filter-operator").value, value: valueOf(field, text) };
  const other = (each) => wordsOf(each) !== wordsOf(one) && (one.operator === "is" || each.name !== one.name || each.operator !== one.operator);
  chosen = [...chosen.filter(other), one];
  byId("filter-value").value = "";
  changed();
}

function changed() {
  byId("chips").replaceChildren(...chosen.map(chipOf));
  byId("chips").hidden = !chosen.length;
  byId("filters-chosen").replaceChildren(...chosen.map(chipOf));
  if (dialog.open) look();
}

function chipOf(one) {
  const button = element("button", "chip", wordsOf(one));
  button.type = "button";
  button.append(crossOf());
  button.ariaLabel = `Remove the filter: ${wordsOf(one)}`;
  button.addEventListener("click", () => {
    chosen = chosen.filter((each) => each !== one);
    changed();
    (dialog.open ? byId("filter-value") : byId("filter")).focus();
  });
  const item = element("li");
  item.append(button);
  return item;
}

function crossOf() {
  const cross = element("span", "cross", "×");
  cross.ariaHidden = "true";
  return cross;
}

const count = (n) => n.toLocaleString("en");

byId("filter").addEventListener("click", openFilters);
byId("filter-field").addEventListener("change", showField);
byId("filters-form").addEventListener("submit", (event) => {
  event.preventDefault();
  choose();
});
byId("filters-close").addEventListener("click", () => dialog.close());

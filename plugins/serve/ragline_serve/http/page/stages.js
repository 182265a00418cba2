// What each stage did: seconds, outcomes and tokens of each, and how passages moved from ranking to ranking.

import { copyOf, element, seconds } from "./dom.js";

const MOST_ROWS = 12;

/** Fill the panel of one answer. `wall` is how long the whole answer took, in seconds. */
export function showStages(panel, { stages = [], sources = [] }, wall) {
  if (!stages.length) return;
  panel.hidden = false;
  panel.querySelector("summary").textContent = summaryOf(stages, wall);
  const slowest = Math.max(...stages.map((stage) => stage.seconds), 1e-9);
  panel.querySelector(".steps").replaceChildren(...stages.map((stage) => step(stage, slowest)));
  const ranked = stages.filter((stage) => stage.hits?.length);
  const moves = panel.querySelector(".moves");
  moves.hidden = !ranked.length;
  if (ranked.length) moves.replaceChildren(...movesOf(ranked, sources));
}

function summaryOf(stages, wall) {
  const read = total(stages, "prompt_tokens");
  const written = total(stages, "new_tokens");
  const tokens = read + written ? `, ${count(read)} tokens read and ${count(written)} written` : "";
  return `How this was found: ${stages.length} ${stages.length === 1 ? "stage" : "stages"}, ${seconds(wall)}${tokens}`;
}

function step(stage, slowest) {
  const made = copyOf("step-form");
  made.querySelector(".name").textContent = stage.name;
  made.querySelector(".use").textContent = stage.use;
  made.querySelector(".seconds").textContent = seconds(stage.seconds);
  made.querySelector(".bar").style.setProperty("--share", stage.seconds / slowest);
  const facts = [...outcomesOf(stage), ...countsOf(stage), ...tokensOf(stage)];
  made.querySelector(".facts").replaceChildren(...facts);
  return made;
}

function outcomesOf({ outcomes = {} }) {
  return Object.entries(outcomes).map(([kind, n]) => element("span", `fact ${kind}`, n === 1 ? kind : `${n} ${kind}`));
}

/** What a stage counted beside its outcomes and calls, which are told already. */
function countsOf({ counts = {}, outcomes = {} }) {
  const others = Object.entries(counts).filter(([name]) => name !== "calls" && !(name in outcomes));
  return others.map(([name, n]) => element("span", "fact", `${name.replaceAll("_", " ")} ${count(n)}`));
}

function tokensOf({ usage = {} }) {
  const { calls = 0, prompt_tokens: read = 0, cached_tokens: cached = 0, new_tokens: written = 0 } = usage;
  if (!calls) return [];
  const asked = `${count(calls)} model ${calls === 1 ? "call" : "calls"}`;
  const known = cached ? ` (${count(cached)} known already)` : "";
  const tokens = read + written ? `: ${count(read)} tokens read${known}, ${count(written)} written` : "";
  return [element("span", "fact", asked + tokens)];
}

function movesOf(ranked, sources) {
  const table = element("table");
  table.append(element("caption", "", "Rank and score of each passage, stage by stage"));
  table.append(headOf(ranked), bodyOf(ranked, new Map(sources.map((source) => [source.doc_id, source.marker]))));
  const frame = element("div", "wide");
  frame.tabIndex = 0; // wider than a small screen: arrow keys scroll it
  frame.role = "region";
  frame.ariaLabel = "How passages moved";
  frame.append(table);
  return [frame];
}

function headOf(ranked) {
  const row = element("tr");
  row.append(columnOf("Passage"), ...ranked.map((stage) => columnOf(stage.name)));
  const head = element("thead");
  head.append(row);
  return head;
}

function columnOf(name) {
  const cell = element("th", "", name);
  cell.scope = "col";
  return cell;
}

function bodyOf(ranked, markers) {
  const body = element("tbody");
  const ranks = ranked.map((stage) => new Map(stage.hits.map((hit) => [hit.doc_id, hit])));
  for (const hit of rowsOf(ranked)) {
    const row = element("tr", ranks.at(-1).has(hit.doc_id) ? "" : "dropped");
    const name = element("th");
    name.scope = "row";
    if (markers.has(hit.doc_id)) name.append(element("span", "number", String(markers.get(hit.doc_id))));
    name.append(element("span", "title", hit.title || hit.doc_id));
    row.append(name, ...ranks.map((byId, n) => cellOf(byId.get(hit.doc_id), ranked[n])));
    body.append(row);
  }
  return body;
}

/** Passages of the last ranking in its order, then the best that earlier stages had and it has not. */
function rowsOf(ranked) {
  const rows = new Map(ranked.at(-1).hits.map((hit) => [hit.doc_id, hit]));
  const earlier = ranked.slice(0, -1).reverse().flatMap((stage) => stage.hits.filter((hit) => hit.rank <= 3));
  for (const hit of earlier) if (!rows.has(hit.doc_id)) rows.set(hit.doc_id, hit);
  return [...rows.values()].slice(0, MOST_ROWS);
}

function cellOf(hit, stage) {
  const cell = element("td");
  if (!hit) {
    cell.append(element("span", "unseen", "not ranked"));
    return cell;
  }
  cell.append(element("span", "rank", String(hit.rank)));
  if (stage.hits.some((other) => other.from_rank != null)) cell.append(" ", moveOf(hit));
  cell.append(" ", element("span", "score", hit.score.toPrecision(3)));
  return cell;
}

function moveOf({ rank, from_rank: from }) {
  if (from == null) return element("span", "move", "new");
  const places = Math.abs(from - rank);
  if (!places) return withWords("move", "=", "unchanged");
  return from > rank ? withWords("move up", `▲${places}`, `up ${places}`) : withWords("move down", `▼${places}`, `down ${places}`);
}

function withWords(className, sign, words) {
  const made = element("span", className);
  const shown = element("span", "", sign);
  shown.ariaHidden = "true";
  made.append(shown, element("span", "unseen", words));
  return made;
}

const total = (stages, name) => stages.reduce((sum, { usage }) => sum + (usage?.[name] ?? 0), 0);
const count = (n) => n.toLocaleString("en");

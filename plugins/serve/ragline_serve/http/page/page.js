// The conversation: takes questions, runs one at a time, keeps what was said, and tells what happens to those who listen.

import { keepsOnServer, offerConversations, saveOn } from "./conversations.js";
import { byId, element, tell } from "./dom.js";
import { withKey } from "./entry.js";
import { offerFiles } from "./files.js";
import { offerFilters, where, within } from "./filters.js";
import { forget, keep, keepAll, kept, session, setCurrent, setSession } from "./kept.js";
import { taken } from "./parts.js";
import { closePassage, openDocument } from "./passage.js";
import { ask, models, readiness, Refused, searched } from "./talk.js";
import { Turn } from "./turn.js";

const LOOK_AGAIN_MS = 2000;

const field = byId("question");
const turns = byId("turns");
let model = "";
let messages = []; // what was said so far, as the server reads it
let running = null; // the AbortController of the answer that is being written

/** Learn which model answers; what goes wrong here is told by the readiness, or comes again with the first question. */
function begin() {
  restore();
  offerConversations(goOnWith);
  showReadiness();
  withKey(meet).catch(() => {});
  showLinked();
}

/** Show the passage that the address names behind its #, as the links of citations do. */
async function showLinked() {
  const named = new URLSearchParams(location.hash.slice(1));
  if (!named.has("passage")) return;
  try {
    await openDocument(named.get("passage"), named.get("model"));
  } catch (error) {
    tell(byId("notice"), error.message);
  }
}

/** Show what this tab keeps of the conversation; what another version of the page kept may not be readable. */
function restore() {
  try {
    for (const { question, within: filters, text, whole, seconds } of kept()) {
      const turn = new Turn(question, filters);
      turn.again(text, whole, seconds);
      showTurn(turn);
      remember(turn, messages);
    }
  } catch {
    forget();
  }
}

function showTurn(turn) {
  turn.askAgain = (contents) => running || askQuestion(turn.question, contents);
  byId("welcome").hidden = true;
  byId("again").hidden = false;
  turns.append(turn.element);
}

async function meet() {
  [model] = await models();
  byId("model").textContent = model === document.title ? "" : model;
  showIndex(await searched(model));
  offerFilters(model);
}

function showIndex({ parts, examples, takes_files: takesFiles }) {
  if (takesFiles) offerFiles(model, ({ passages }) => showParts([{ name: parts[0].name, passages }]));
  showParts(parts);
  byId("examples").replaceChildren(...examples.map(exampleOf));
}

function showParts(parts) {
  byId("index").textContent = parts.map(({ name, passages }) => `${name}, ${countOf(passages, "passage")}`).join(" · ");
}

function exampleOf(question) {
  const button = element("button", "quiet", question);
  button.type = "button";
  button.addEventListener("click", () => running || askQuestion(question));
  const item = element("li");
  item.append(button);
  return item;
}

/** Say what does not work; while the server loads, look again until it has. */
async function showReadiness() {
  const { loading, troubles } = await readiness();
  tell(byId("notice"), loading ? "The models are still loading. A first answer takes longer." : troubles.join(" "));
  if (loading) setTimeout(showReadiness, LOOK_AGAIN_MS);
}

/** `contents`: what is asked beside it, where that is known from before. */
async function askQuestion(question, contents) {
  const turn = new Turn(question, within());
  turn.contents = contents;
  const conversation = messages; // a new one may begin before this answer ends
  showTurn(turn);
  turn.element.scrollIntoView({ block: "start" });
  setRunning(new AbortController());
  say("Searching");
  try {
    const whole = await withKey(() => write(turn, conversation, running.signal));
    if (conversation === messages) keepTurn({ question, within: turn.within, text: turn.text, whole, seconds: turn.seconds });
    say(`Answer: ${turn.text} ${countOf(turn.sources.length, "source")}.`);
    remember(turn, conversation);
  } catch (error) {
    if (error.name === "AbortError") stop(turn, conversation);
    else fail(turn, error);
  } finally {
    setRunning(null);
  }
}

function keepTurn(turn) {
  keep(turn);
  const trouble = saveOn();
  if (trouble) tell(byId("notice"), trouble);
}

async function write(turn, conversation, signal) {
  const { said, kept: place } = placed(turn, conversation);
  const filter = where(); // as it is now: it may be changed while the answer is written
  turn.contents ??= await taken();
  if (!model) await meet();
  let whole = null;
  for await (const chunk of ask(said, { model, signal, where: filter, session: place, contents: turn.contents })) {
    if (chunk.ragline?.status) whole = chunk.ragline;
    else if (chunk.ragline) read(turn, chunk.ragline);
    if (chunk.ragline?.session && conversation === messages) setSession(chunk.ragline.session);
    const piece = chunk.choices?.[0]?.delta?.content;
    if (piece) follow(turn, () => turn.write(piece));
  }
  if (!whole) throw new Refused("The answer came without its sources.");
  follow(turn, () => turn.finish(whole));
  return whole;
}

/** What is sent: of a conversation that the server keeps the new question alone, for it knows the rest. */
function placed(turn, conversation) {
  const asked = { role: "user", content: turn.question };
  const id = conversation === messages ? session() : "";
  if (id) return { said: [asked], kept: id };
  return { said: [...conversation, asked], kept: keepsOnServer() && !conversation.length ? "new" : undefined };
}

function read(turn, begun) {
  turn.found(begun);
  say(turn.waitsFor);
}

function remember(turn, conversation) {
  conversation.push({ role: "user", content: turn.question });
  conversation.push({ role: "assistant", content: turn.text });
}

function stop(turn, conversation) {
  turn.stopped();
  if (turn.text) remember(turn, conversation);
  say("Stopped");
}

function fail(turn, error) {
  const message = error instanceof Refused ? error : new Refused("The connection broke before the answer was whole.");
  turn.failed(message, () => {
    if (running) return;
    turn.element.remove();
    askQuestion(turn.question, turn.contents);
  });
  say("");
  showReadiness();
}

/** Do something that makes an answer longer, and keep its end in sight if that is where the reader is. */
function follow(turn, grow) {
  const inSight = hiddenOf(turn) < 80;
  grow();
  const hidden = hiddenOf(turn);
  if (inSight && hidden > 0) document.scrollingElement.scrollTop += hidden;
}

/** How far the last line of an answer lies below what is in sight; below 0 where it is in sight, or above. */
function hiddenOf(turn) {
  return turn.element.querySelector(".answer").getBoundingClientRect().bottom - byId("ask").getBoundingClientRect().top;
}

function setRunning(controller) {
  const hadFocus = [byId("send"), byId("stop")].includes(document.activeElement);
  running = controller;
  byId("send").hidden = Boolean(controller);
  byId("stop").hidden = !controller;
  turns.ariaBusy = String(Boolean(controller));
  if (hadFocus) (controller ? byId("stop") : field).focus();
}

const say = (text) => (byId("said").textContent = text);
const countOf = (n, what) => `${n.toLocaleString("en")} ${n === 1 ? what : `${what}s`}`;

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = field.value.trim();
  if (!question || running) return;
  field.value = "";
  askQuestion(question);
});

field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("ask").requestSubmit();
});

window.addEventListener("hashchange", showLinked);
byId("stop").addEventListener("click", () => running?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (running) running.abort();
  else closePassage();
});

byId("again").addEventListener("click", () => {
  clear();
  forget();
  field.focus();
  say("New conversation");
});

function clear() {
  running?.abort();
  closePassage();
  messages = [];
  turns.replaceChildren();
  byId("welcome").hidden = false;
  byId("again").hidden = true;
}

/** Another conversation in the place of this one, `saved` in this browser or kept by the server as `session`. */
function goOnWith(others, { saved = "", session: id = "" }) {
  clear();
  keepAll(others);
  setCurrent(saved);
  setSession(id);
  restore();
  turns.lastElementChild?.scrollIntoView({ block: "start" });
  field.focus();
}

begin();

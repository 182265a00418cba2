// The conversation: takes questions, runs one at a time, keeps what was said, and tells what happens to those who listen.

import { byId, element, tell } from "./dom.js";
import { askForKey } from "./entry.js";
import { forget, keep, kept } from "./kept.js";
import { closePassage } from "./passage.js";
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
  showReadiness();
  withKey(meet).catch(() => {});
}

/** Show what this tab keeps of the conversation; what another version of the page kept may not be readable. */
function restore() {
  try {
    for (const { question, text, whole, seconds } of kept()) {
      const turn = new Turn(question);
      turn.again(text, whole, seconds);
      showTurn(turn);
      remember(turn, messages);
    }
  } catch {
    forget();
  }
}

function showTurn(turn) {
  byId("welcome").hidden = true;
  byId("again").hidden = false;
  turns.append(turn.element);
}

async function meet() {
  [model] = await models();
  byId("model").textContent = model === document.title ? "" : model;
  showIndex(await searched(model));
}

function showIndex({ parts, examples }) {
  byId("index").textContent = parts.map(({ name, passages }) => `${name}, ${countOf(passages, "passage")}`).join(" · ");
  byId("examples").replaceChildren(...examples.map(exampleOf));
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

/** Run something; when the server asks for a key, ask for it and run it once more. */
async function withKey(run) {
  for (let reason = ""; ; reason = "The server does not know this key.") {
    try {
      return await run();
    } catch (error) {
      if (error.status !== 401 || !(await askForKey(reason))) throw error;
    }
  }
}

async function askQuestion(question) {
  const turn = new Turn(question);
  const conversation = messages; // a new one may begin before this answer ends
  showTurn(turn);
  turn.element.scrollIntoView({ block: "start" });
  setRunning(new AbortController());
  say("Searching");
  try {
    const whole = await withKey(() => write(turn, conversation, running.signal));
    if (conversation === messages) keep({ question, text: turn.text, whole, seconds: turn.seconds });
    say(`Answer: ${turn.text} ${countOf(turn.sources.length, "source")}.`);
    remember(turn, conversation);
  } catch (error) {
    if (error.name === "AbortError") stop(turn, conversation);
    else fail(turn, error);
  } finally {
    setRunning(null);
  }
}

async function write(turn, conversation, signal) {
  const asked = [...conversation, { role: "user", content: turn.question }];
  if (!model) await meet();
  let whole = null;
  for await (const chunk of ask(asked, { model, signal })) {
    if (chunk.ragline?.status) whole = chunk.ragline;
    else if (chunk.ragline) turn.found(chunk.ragline);
    const piece = chunk.choices?.[0]?.delta?.content;
    if (piece) follow(() => turn.write(piece));
  }
  if (!whole) throw new Refused("The answer came without its sources.");
  follow(() => turn.finish(whole));
  return whole;
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
    askQuestion(turn.question);
  });
  say("");
  showReadiness();
}

/** Do something that makes the page longer, and stay at its end if that is where the reader is. */
function follow(grow) {
  const page = document.scrollingElement;
  const atEnd = page.scrollHeight - page.scrollTop - page.clientHeight < 80;
  grow();
  if (atEnd) page.scrollTop = page.scrollHeight;
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

byId("stop").addEventListener("click", () => running?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (running) running.abort();
  else closePassage();
});

byId("again").addEventListener("click", () => {
  running?.abort();
  closePassage();
  messages = [];
  forget();
  turns.replaceChildren();
  byId("welcome").hidden = false;
  byId("again").hidden = true;
  field.focus();
  say("New conversation");
});

begin();

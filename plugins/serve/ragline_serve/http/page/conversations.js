// The list of conversations: those saved in this browser, and those that the server keeps for whoever asks, if it lists them.

import { byId, copyOf, tell } from "./dom.js";
import { withKey } from "./entry.js";
import { current, kept, session, setCurrent } from "./kept.js";
import { remove, save, saved } from "./saved.js";
import { forgetSession, nameSession, sessions, turnsOf } from "./talk.js";

const LONGEST_NAME = 80;
const NO_ROOM = "There is no room in this browser to save it. Delete some.";

const dialog = byId("conversations");
let goOn = () => {};

/** `open(turns, place)` shows a conversation in the place of the one that is there; `place` says where it is kept. */
export function offerConversations(open) {
  goOn = open;
}

/** Whether a conversation that begins now is to be kept by the server. */
export const keepsOnServer = () => byId("conversations-keep").checked;

/** Save the newest answer too, if its conversation is a saved one; in words what went wrong. */
export function saveOn() {
  const mine = saved().find(({ id }) => id === current());
  return mine && !save({ ...mine, turns: kept() }) ? NO_ROOM : "";
}

function saveThis() {
  const [first] = kept();
  const name = first.question.trim().slice(0, LONGEST_NAME);
  const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
  const done = save({ id, name, turns: kept() });
  if (done) setCurrent(id);
  showSaved(done ? "" : NO_ROOM);
}

/** What can be done with a conversation of this browser. It is looked up each time: an answer may have come since. */
const inBrowser = ({ id }) => ({
  turns: () => saved().find((one) => one.id === id).turns,
  open: (turns) => goOn(turns, { saved: id }),
  rename: (name) => save({ ...saved().find((one) => one.id === id), name }) || fail(NO_ROOM),
  remove: () => remove(id) || fail("It could not be deleted."),
  show: showSaved,
});

/** The same with one that the server keeps. */
const onServer = ({ id }) => ({
  turns: () => withKey(() => turnsOf(id)),
  open: (turns) => goOn(turns, { session: id }),
  rename: (name) => withKey(() => nameSession(id, name)),
  remove: () => withKey(() => forgetSession(id)),
  show: showServers,
});

function fail(message) {
  throw new Error(message);
}

function showSaved(trouble = "") {
  const all = saved();
  tell(byId("conversations-trouble"), trouble);
  byId("conversations-none").hidden = Boolean(all.length);
  byId("conversations-save").hidden = !kept().length || Boolean(session()) || all.some(({ id }) => id === current());
  byId("conversations-list").replaceChildren(...all.map((one) => itemOf(one, inBrowser(one))));
}

/** A server that keeps none, or does not know who asks, lists none: nothing is said of it then. */
async function showServers() {
  const all = await withKey(sessions).catch(() => null);
  byId("conversations-server").hidden = !all;
  byId("sessions-list").replaceChildren(...(all ?? []).map((one) => itemOf(one, onServer(one))));
}

function itemOf(one, can) {
  const item = copyOf("conversation-form");
  const [field, open, gone] = item.querySelectorAll("input, button");
  let name = one.name;
  const tellName = () => {
    field.value = name;
    open.ariaLabel = `Open: ${name}`;
    gone.ariaLabel = `Delete: ${name}`;
  };
  tellName();
  field.maxLength = LONGEST_NAME;
  field.addEventListener("change", tried(async () => {
    const wanted = field.value.trim();
    if (wanted) await can.rename(wanted);
    name = wanted || name;
    tellName();
  }));
  open.addEventListener("click", tried(async () => {
    const turns = await can.turns();
    dialog.close();
    can.open(turns);
  }));
  gone.addEventListener("click", tried(() => forGood(gone, can)));
  return item;
}

/** Something that may go wrong; what did is said in the dialog. */
function tried(run) {
  return async () => {
    try {
      await run();
    } catch (error) {
      tell(byId("conversations-trouble"), error.message);
    }
  };
}

/** Delete a conversation at the second press: there is no way back. */
async function forGood(button, can) {
  if (!button.dataset.sure) {
    button.dataset.sure = "yes";
    button.textContent = "Really?";
    button.ariaLabel = button.ariaLabel.replace("Delete", "Really delete");
    return;
  }
  await can.remove();
  byId("conversations-close").focus();
  await can.show();
}

byId("conversations-open").addEventListener("click", () => {
  showSaved();
  dialog.showModal();
  showServers();
});
byId("conversations-save").addEventListener("click", saveThis);
byId("conversations-close").addEventListener("click", () => dialog.close());

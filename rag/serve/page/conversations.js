// The list of saved conversations: save this one, name them, go on with one, delete one.

import { byId, copyOf, tell } from "./dom.js";
import { current, kept, setCurrent } from "./kept.js";
import { remove, save, saved } from "./saved.js";

const LONGEST_NAME = 80;
const NO_ROOM = "There is no room in this browser to save it. Delete some.";

const dialog = byId("conversations");
let goOn = () => {};

/** `open(turns)` shows a conversation in the place of the one that is there. */
export function offerConversations(open) {
  goOn = open;
}

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
  show(done ? "" : NO_ROOM);
}

function show(trouble = "") {
  const all = saved();
  tell(byId("conversations-trouble"), trouble);
  byId("conversations-none").hidden = Boolean(all.length);
  byId("conversations-save").hidden = !kept().length || all.some(({ id }) => id === current());
  byId("conversations-list").replaceChildren(...all.map(itemOf));
}

function itemOf(one) {
  const item = copyOf("conversation-form");
  const [name, open, gone] = item.querySelectorAll("input, button");
  const tellName = (text) => {
    name.value = text;
    open.ariaLabel = `Open: ${text}`;
    gone.ariaLabel = `Delete: ${text}`;
  };
  tellName(one.name);
  name.maxLength = LONGEST_NAME;
  name.addEventListener("change", () => tellName(renamed(one.id, name.value.trim())));
  open.addEventListener("click", () => {
    dialog.close();
    setCurrent(one.id);
    goOn(saved().find(({ id }) => id === one.id)?.turns ?? one.turns); // an answer may have come since it was listed
  });
  gone.addEventListener("click", () => forGood(gone, one));
  return item;
}

/** Give a conversation another name; the name that it has then. The list stays as it is, and so does the focus. */
function renamed(id, name) {
  const one = saved().find((each) => each.id === id);
  const done = one && name && save({ ...one, name });
  tell(byId("conversations-trouble"), done || !name ? "" : NO_ROOM);
  return done ? name : one?.name ?? "";
}

/** Delete a conversation at the second press: there is no way back. */
function forGood(button, one) {
  if (button.dataset.sure) {
    const done = remove(one.id);
    show(done ? "" : "It could not be deleted.");
    byId("conversations-close").focus();
    return;
  }
  button.dataset.sure = "yes";
  button.textContent = "Really?";
  button.ariaLabel = button.ariaLabel.replace("Delete", "Really delete");
}

byId("conversations-open").addEventListener("click", () => {
  show();
  dialog.showModal();
});
byId("conversations-save").addEventListener("click", saveThis);
byId("conversations-close").addEventListener("click", () => dialog.close());

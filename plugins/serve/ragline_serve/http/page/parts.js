// What plug-ins add to the page: each brings a module of this server, which is called with the object below.

import { byId } from "./dom.js";
import { withKey } from "./entry.js";
import { call, Refused } from "./talk.js";

const drawings = [];
const inputs = [];
const below = [];

const page = {
  /** From now on `draw(source, support)` is asked for an element beside each passage that is shown; null where it has none.
   *  `support`: where the sentence that supports the answer stands in `source.text`, if the passage is shown for one. */
  drawPassage: (draw) => drawings.push(draw),
  /** Put `element` beside the question. With each one `contents()` says what is asked beside it, and `clear()` forgets that. */
  addInput(input) {
    inputs.push(input);
    byId("question").closest(".box").prepend(input.element);
  },
  /** From now on `draw(said, contents, again)` is asked for an element below each question, null for none: by what the server
   *  says of it, what was asked beside it, and what asks it again with other contents. */
  drawTurn: (draw) => below.push(draw),
  /** Ask this server as the page does, with the reader's key: a path without / before it, and options of fetch. `quietly`: asks
   *  for no key where the reader would rather give none. */
  call: (path, { quietly, ...options } = {}) => withKey(() => call(path, options), { quietly }),
};

/** Begin what plug-ins brought. One that fails is told in the console, and the page goes on without it. */
async function beginParts() {
  const response = await fetch("page/parts.json");
  for (const name of await response.json()) await begin(name).catch(told);
}

async function begin(name) {
  if (name.endsWith(".js")) return (await import(`./${name}`)).default(page);
  const link = document.createElement("link");
  Object.assign(link, { rel: "stylesheet", href: `page/${name}` });
  return document.head.append(link);
}

/** What plug-ins draw of a passage, once they have begun. */
export function drawn(source, support) {
  return made(drawings, source, support);
}

/** What plug-ins draw below a question, once they have begun. */
export function drawnBelow(turn, said) {
  return made(below, said, turn.contents ?? [], (contents) => turn.askAgain(contents));
}

const made = (draws, ...given) => draws.map((draw) => drawnBy(draw, given)).filter((each) => each instanceof Node);

function drawnBy(draw, given) {
  try {
    return draw(...given);
  } catch (error) {
    return told(error);
  }
}

/** What is asked beside the question now; after that the inputs are empty. */
export async function taken() {
  await begun;
  try {
    const contents = (await Promise.all(inputs.map((input) => input.contents()))).flat();
    for (const input of inputs) input.clear();
    return contents;
  } catch (error) {
    throw new Refused(error.message);
  }
}

const told = (error) => console.error("a plug-in of the page failed:", error);

/** Resolved once plug-ins have begun: a reader can be faster, and would see a passage without what they draw of it. */
export const begun = beginParts().catch(() => {});

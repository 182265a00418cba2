// Ways from a passage to more: the original on the web, and the whole document as the index holds it.

import { unwrapped } from "./claim.js";
import { element } from "./dom.js";
import { drawn } from "./parts.js";

const LONGEST = 2000;

/** A link to the original, which says where it leads; none where the address is no web address. It learns nothing of us. */
export function originalOf(url) {
  const host = hostOf(url);
  if (!host) return null;
  const link = element("a", "way", `Original at ${host}`);
  link.href = url;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  return link;
}

function hostOf(url) {
  if (typeof url !== "string" || url.length > LONGEST || !URL.canParse(url)) return "";
  const { protocol, host, username, password } = new URL(url);
  return ["http:", "https:"].includes(protocol) && !username && !password ? host : "";
}

/** A button that runs something. */
export function wayTo(name, run) {
  const button = element("button", "quiet way", name);
  button.type = "button";
  button.addEventListener("click", run);
  return button;
}

/** The passages of a document one after the other, without what two of them share; the one that was asked for stands out. */
export function* wholeOf({ passages, asked }) {
  for (const [place, passage] of passages.entries()) {
    const { text, repeats } = passage;
    yield* drawn(passage);
    const own = [...text].slice(repeats).join("").replace(/^ (?! )/, "");
    const part = element("p", place === asked ? "part asked" : "part", unwrapped(own));
    if (place === asked) part.tabIndex = -1;
    yield part;
  }
}

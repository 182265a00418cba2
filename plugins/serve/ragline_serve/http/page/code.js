// Code in an answer: shown as it is, with a button that copies it.

import { offerCopy } from "./copy.js";
import { element } from "./dom.js";

export class Code {
  /** `start` is where the block begins in the answer. */
  constructor({ start, language }) {
    this.text = document.createTextNode("");
    this.element = element("div", "code");
    this.element.append(this.head(start, language), this.frame());
  }

  grow(text) {
    this.text.appendData(text.slice(this.text.length));
  }

  head(start, language) {
    const head = element("div", "head");
    const button = element("button", "quiet copy");
    button.type = "button";
    button.dataset.start = start; // so that whoever stands on it still does when the answer is set again
    offerCopy(button, "Copy code", () => this.text.data);
    head.append(element("span", "language", language), button);
    return head;
  }

  /** Wider than its column: arrow keys scroll it. */
  frame() {
    const frame = element("pre");
    frame.tabIndex = 0;
    frame.role = "region";
    frame.ariaLabel = "Code";
    const code = element("code");
    code.append(this.text);
    frame.append(code);
    return frame;
  }
}

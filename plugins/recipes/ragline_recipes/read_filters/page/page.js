// Filters that were read from a question, as chips below it. Removing one asks again without it.

const KIND = "as_typed";

export default function (page) {
  page.drawTurn(({ read = [] }, contents, again) => (read.length ? listOf(read, contents, again) : null));
}

function listOf(read, contents, again) {
  const list = element("ul", "chips read-filters");
  list.ariaLabel = "Read from the question";
  list.append(element("li", "small", "Read from the question:"));
  list.append(...read.map(({ field, text }) => chipOf(text, () => again(without(contents, field)))));
  return list;
}

function chipOf(text, remove) {
  const button = element("button", "chip", text);
  button.type = "button";
  button.ariaLabel = `Ask again without the filter: ${text}`;
  const cross = element("span", "cross", "×");
  cross.ariaHidden = "true";
  button.append(cross);
  button.addEventListener("click", remove);
  const item = element("li");
  item.append(button);
  return item;
}

/** What is asked beside the question: what was before, and that this field is not read from its words either. */
function without(contents, field) {
  const fields = contents.filter(({ kind }) => kind === KIND).flatMap((each) => each.fields ?? []);
  const others = contents.filter(({ kind }) => kind !== KIND);
  return [...others, { kind: KIND, fields: [...new Set([...fields, field])] }];
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

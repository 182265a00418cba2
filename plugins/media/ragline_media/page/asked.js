// Pictures that are asked with: dropped on the page, pasted, or chosen; small beside the question until it is asked.

const MOST_BYTES = 20_000_000;
const TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/tiff"];

const isPicture = (file) => TYPES.includes(file.type);

/** The input: what is chosen, with a button that removes each, and one that opens the files of this machine. */
export function pictureInput(page) {
  const box = element("div", "media-asked");
  const field = Object.assign(element("input"), { type: "file", accept: TYPES.join(","), multiple: true, hidden: true });
  const add = buttonOf("quiet", "Add a picture", () => field.click());
  const list = element("ul", "media-chosen");
  const told = Object.assign(element("p", "small"), { role: "status", hidden: true });
  list.ariaLabel = "Pictures that are asked with";
  let chosen = [];
  const show = () => list.replaceChildren(...chosen.map((file) => itemOf(file, () => remove(file))));
  const say = (text) => Object.assign(told, { textContent: text, hidden: !text });
  const remove = (file) => {
    chosen = chosen.filter((other) => other !== file);
    show();
    add.focus();
  };
  const take = (files) => {
    const large = files.filter((file) => file.size > MOST_BYTES);
    const others = files.filter((file) => !isPicture(file));
    chosen.push(...files.filter((file) => isPicture(file) && file.size <= MOST_BYTES));
    const troubles = [
      ...others.map((file) => `${file.name} is no picture that is read here.`),
      ...large.map((file) => `${file.name} has more than ${MOST_BYTES / 1e6} MB.`),
    ];
    say(troubles.join(" "));
    show();
    document.getElementById("question")?.focus();
  };
  field.addEventListener("change", () => {
    take([...field.files]);
    field.value = "";
  });
  receive(take);
  box.append(add, field, list, told);
  page.addInput({
    element: box,
    contents: () => Promise.all(chosen.map(contentOf)),
    clear: () => {
      chosen = [];
      say("");
      show();
    },
  });
}

/** Files that are dropped anywhere on the page, or pasted. */
function receive(take) {
  const dragged = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!dragged(event)) return;
    event.preventDefault();
    document.body.classList.add("media-over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("media-over");
  });
  document.addEventListener("drop", (event) => {
    if (!dragged(event)) return;
    event.preventDefault();
    document.body.classList.remove("media-over");
    take([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    const pictures = [...(event.clipboardData?.files ?? [])].filter(isPicture);
    if (pictures.length) take(pictures);
  });
}

/** Pictures of a question that was asked, by what was sent. */
export function askedWith(contents) {
  const pictures = contents.filter(({ kind, data }) => kind === "picture" && data);
  if (!pictures.length) return null;
  const list = element("ul", "media-chosen");
  list.ariaLabel = "Asked with";
  for (const { media_type: type, data } of pictures) {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const item = element("li");
    item.append(pictureOf(new Blob([bytes], { type }), "A picture that was asked with"));
    list.append(item);
  }
  return list;
}

function itemOf(file, remove) {
  const item = element("li");
  const button = buttonOf("quiet", "×", remove);
  button.ariaLabel = `Remove ${file.name}`;
  item.append(pictureOf(file, file.name), button);
  return item;
}

function pictureOf(blob, alt) {
  const image = Object.assign(element("img"), { alt, src: URL.createObjectURL(blob) });
  image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  return image;
}

async function contentOf(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let letters = "";
  for (let at = 0; at < bytes.length; at += 0x8000) letters += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return { kind: "picture", media_type: file.type, data: btoa(letters) };
}

function buttonOf(className, text, run) {
  const button = Object.assign(element("button", className), { type: "button", textContent: text });
  button.addEventListener("click", run);
  return button;
}

function element(tag, className = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  return made;
}

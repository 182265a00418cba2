// The page of a PDF on which a passage stands, as a picture, with the sentence that supports the answer marked on it.

const PDF = /\.pdf$/i;

/** Whether a passage stands on a page that can be drawn. */
export const standsOnPage = ({ position = {} }) => Number.isInteger(position.page) && PDF.test(position.source ?? "");

/** Its page: at once where a passage is shown by itself, else once somebody asks for it, for a document has many passages. */
export function drawnPages(page, addressOf, source, support) {
  const section = document.createElement("section");
  section.className = "media-pages";
  section.ariaLabel = "The page";
  const told = document.createElement("p");
  told.className = "small";
  const show = () => fill(section, told, page, addressOf, source, support);
  if (Number.isInteger(source.marker)) {
    told.textContent = "Drawing the page …";
    section.append(told);
    show();
    return section;
  }
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = `Show page ${source.position.page}`;
  button.addEventListener("click", () => {
    button.replaceWith(told);
    told.textContent = "Drawing the page …";
    show();
  });
  section.append(button);
  return section;
}

async function fill(section, told, page, addressOf, source, support) {
  const words = support ? source.text.slice(support.start, support.end) : "";
  try {
    const response = await page.call("v1/pages", { method: "POST", body: JSON.stringify({ id: source.doc_id, text: words }) });
    const { n_pages: n, pages } = await response.json();
    const sheets = await Promise.all(pages.map((one) => drawnSheet(addressOf, source, one, n, words)));
    section.replaceChildren(...sheets);
    section.querySelector(".media-mark")?.scrollIntoView({ block: "nearest" });
  } catch (error) {
    if (error.code === "no_page") section.remove();
    else told.textContent = error.message;
  }
}

/** One page with its marks; pressed, it changes between as wide as there is room, and large. */
async function drawnSheet(addressOf, source, { page: number, width, height, boxes }, n, words) {
  const asked = new URLSearchParams({ id: source.doc_id, page: number });
  const address = await addressOf(`v1/pages/picture?${asked}`);
  const [figure, button, sheet, image, caption] = ["figure", "button", "span", "img", "figcaption"].map((tag) =>
    document.createElement(tag),
  );
  figure.className = "media-page";
  button.type = "button";
  button.ariaExpanded = "false";
  button.ariaLabel = `Show page ${number} larger`;
  button.addEventListener("click", () => {
    const large = button.ariaExpanded !== "true";
    button.ariaExpanded = String(large);
    figure.classList.toggle("large", large);
    figure.querySelector(".media-mark")?.scrollIntoView({ block: "center", inline: "nearest" });
  });
  sheet.className = "media-sheet";
  image.src = address;
  image.alt = `Page ${number} of ${source.position.source}${boxes.length && words ? `; marked: ${words}` : ""}`;
  image.width = Math.round(width);
  image.height = Math.round(height);
  sheet.append(image, ...boxes.map((box) => markOf(box, width, height)));
  const what = words ? "the sentence" : "the passage";
  const missed = source.position.ocr ? "it was read as a picture, and where its lines stand is not known" : `${what} was not found on it by its words`;
  caption.textContent = `Page ${number} of ${n}; ${boxes.length ? `marked is ${what}` : `${missed}, so nothing is marked`}.`;
  button.append(sheet);
  figure.append(button, caption);
  return figure;
}

/** A mark over a box of a sheet that is so wide and high. */
export function markOf({ left, top, right, bottom }, width, height) {
  const mark = document.createElement("span");
  mark.className = "media-mark";
  const part = (length, of) => `${(100 * length) / of}%`;
  Object.assign(mark.style, {
    left: part(left, width),
    top: part(top, height),
    width: part(right - left, width),
    height: part(bottom - top, height),
  });
  return mark;
}

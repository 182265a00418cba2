// What passages hold: a picture as a thumbnail, and whole once somebody opens it; a recording from the second that is pressed; a table;
// and the page that one stands on. Below a question, the pictures that were found and those that it was asked with.

import { askedWith, pictureInput } from "./asked.js";
import { drawnPages, markOf, standsOnPage } from "./pages.js";
import { drawnTable } from "./tables.js";

const addresses = new Map(); // path -> the blob: address of its bytes; the reader's key went with the request, no address has it

/** The address of what the server keeps under a path. */
function addressOf(page, path) {
  if (!addresses.has(path)) {
    const asked = page
      .call(path)
      .then((response) => response.blob())
      .then((blob) => URL.createObjectURL(blob));
    addresses.set(path, asked);
    asked.catch(() => addresses.delete(path)); // asked again next time
  }
  return addresses.get(path);
}

/** What is said of a picture to who does not see it. */
const altOf = ({ text }, { title }) => text || title || "Picture without a caption";

/** Marks on a picture: the lines on it that the supporting sentence was read from. They are told in thousandths. */
const marksOn = ({ metadata }, support) =>
  (support ? (metadata?.lines ?? []) : [])
    .filter(([start, end]) => start < support.end && end > support.start)
    .map(([, , left, top, right, bottom]) => markOf({ left, top, right, bottom }, 1000, 1000));

/** A picture with its caption, and where a sentence stands on it; pressed, it changes between small and whole. */
function drawnPicture(page, content, source, support) {
  const figure = document.createElement("figure");
  const button = document.createElement("button");
  const image = document.createElement("img");
  const caption = document.createElement("figcaption");
  figure.className = "media-picture";
  button.type = "button";
  button.ariaExpanded = "false";
  button.ariaLabel = `Show the whole picture: ${altOf(content, source)}`;
  image.alt = altOf(content, source);
  image.loading = "lazy";
  const by = content.metadata?.caption_by ? ` (caption by ${content.metadata.caption_by})` : "";
  caption.textContent = `${content.text ?? ""}${by}`;
  caption.hidden = !content.text;
  const path = `v1/contents/${content.sha256}`;
  const show = (end) =>
    addressOf(page, path + end).then(
      (address) => (image.src = address),
      (error) => {
        caption.hidden = false;
        caption.textContent = error.message;
      },
    );
  button.addEventListener("click", () => {
    const whole = button.ariaExpanded !== "true";
    button.ariaExpanded = String(whole);
    figure.classList.toggle("whole", whole);
    show(whole ? "" : "/thumbnail");
  });
  show("/thumbnail");
  const sheet = document.createElement("span");
  sheet.className = "media-sheet";
  sheet.append(image, ...marksOn(content, support));
  button.append(sheet);
  figure.append(button, caption);
  return figure;
}

/** Seconds as minutes and seconds: 0:07, 12:40. */
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

/** Those of the stretches whose words stand where the supporting sentence does. */
function supporting(stretches, text, support) {
  const found = new Set();
  let from = 0;
  for (const stretch of support ? stretches : []) {
    const start = stretch.text ? text.indexOf(stretch.text, from) : -1;
    if (start < 0) continue;
    from = start + stretch.text.length;
    if (start < support.end && from > support.start) found.add(stretch);
  }
  return found;
}

/** The stretches of one recording that a passage holds, each by its second, and a player once somebody presses one. */
function drawnSound(page, stretches, cited) {
  const figure = document.createElement("figure");
  const places = document.createElement("div");
  const told = document.createElement("figcaption");
  figure.className = "media-sound";
  told.hidden = true;
  let loaded = null; // one player, however fast somebody presses
  const load = async () => {
    const address = await addressOf(page, `v1/contents/${stretches[0].sha256}`);
    const player = document.createElement(stretches[0].media_type?.startsWith("video/") ? "video" : "audio");
    player.controls = true;
    player.src = address;
    await new Promise((ready, fail) => {
      player.onloadedmetadata = ready;
      player.onerror = () => fail(new Error("This browser cannot play it."));
    });
    figure.prepend(player);
    return player;
  };
  const play = async (start) => {
    try {
      const player = await (loaded ??= load());
      player.currentTime = start;
      await player.play();
    } catch (error) {
      loaded = null; // asked again next time
      told.hidden = false;
      told.textContent = error.message;
    }
  };
  for (const stretch of stretches) {
    const { text, metadata } = stretch;
    const start = Number(metadata?.start) || 0;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `▶ ${clock(start)}`;
    button.title = text ?? "";
    if (cited.has(stretch)) button.ariaCurrent = "true";
    button.ariaLabel = `Play from ${clock(start)}: ${text ?? ""}`;
    button.addEventListener("click", () => play(start));
    places.append(button);
  }
  figure.append(places, told);
  return figure;
}

const keptOf = ({ contents = [] }) => contents.filter(({ uri }) => uri?.startsWith("sha256:"));

/** What a passage holds beside its text, and the page that it stands on; null where it has neither. */
function drawnPassage(page, source, support) {
  if (standsOnPage(source)) return drawnPages(page, (path) => addressOf(page, path), source, support);
  const kept = keptOf(source);
  const pictures = kept.filter(({ kind }) => kind === "picture");
  const sounds = Map.groupBy(kept.filter(({ kind }) => ["sound", "video"].includes(kind)), ({ sha256 }) => sha256);
  const tables = kept.filter(({ kind }) => kind === "table");
  if (!pictures.length && !sounds.size && !tables.length) return null;
  const gallery = document.createElement("div");
  gallery.className = "media-pictures";
  gallery.append(...pictures.map((content) => drawnPicture(page, content, source, support)));
  gallery.append(...tables.map((content) => drawnTable(page, content, source)));
  for (const stretches of sounds.values()) {
    gallery.append(drawnSound(page, stretches, supporting(stretches, source.text, support)));
  }
  return gallery;
}

/** The pictures of all passages that were found, each with the number of its source; null where they hold none. */
function galleryOf(page, sources) {
  const found = sources.flatMap((source) =>
    keptOf(source)
      .filter(({ kind }) => kind === "picture")
      .map((content) => [source, content]),
  );
  if (!found.length) return null;
  const list = document.createElement("ul");
  list.className = "media-gallery";
  list.ariaLabel = "Pictures that were found";
  for (const [source, content] of found) {
    const item = document.createElement("li");
    const number = document.createElement("span");
    number.className = "number";
    number.textContent = source.marker;
    item.append(number, drawnPicture(page, content, source));
    list.append(item);
  }
  return list;
}

export default function (page) {
  page.drawPassage((source, support) => drawnPassage(page, source, support));
  page.drawTurn((said, contents) => askedWith(contents));
  page.drawTurn(({ sources = [] }) => galleryOf(page, sources));
  offerPictures(page).catch(() => {}); // what goes wrong comes again with the first question
}

/** Take pictures beside a question where the index can be asked with some. */
async function offerPictures(page) {
  const response = await page.call("v1/index", { quietly: true });
  if ((await response.json()).legs.includes("pictures")) pictureInput(page);
}

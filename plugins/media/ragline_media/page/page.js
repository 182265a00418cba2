// Pictures of passages: a thumbnail where the passage is shown, and the picture itself once somebody opens it.

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

/** A picture with its caption; pressed, it changes between small and whole. */
function drawnPicture(page, content, source) {
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
  caption.textContent = content.text ?? "";
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
  button.append(image);
  figure.append(button, caption);
  return figure;
}

export default function (page) {
  page.drawPassage((source) => {
    const pictures = (source.contents ?? []).filter(({ kind, uri }) => kind === "picture" && uri?.startsWith("sha256:"));
    if (!pictures.length) return null;
    const gallery = document.createElement("div");
    gallery.className = "media-pictures";
    gallery.append(...pictures.map((content) => drawnPicture(page, content, source)));
    return gallery;
  });
}

// A table of a document that a passage holds: its CSV, drawn as a table by text alone.

const ROWS = 200; // that are drawn; all of them are in the file

const FORMULA = /^'+[=+\-@＝＋－＠]/;

/** The cells of CSV in which every cell stands in quotes, without the apostrophes that keep spreadsheets from running them. */
function cellsOf(csv) {
  const rows = [[]];
  for (const [, cell, end] of csv.matchAll(/"((?:[^"]|"")*)"(,|\r?\n|$)/g)) {
    const plain = cell.replaceAll('""', '"');
    rows.at(-1).push(FORMULA.test(plain) ? plain.slice(1) : plain);
    if (end !== ",") rows.push([]);
  }
  return rows.filter((row) => row.length);
}

/** A table with its caption and, where its first row names the columns, their names as headings; and its file to keep. */
export function drawnTable(page, content, source) {
  const section = document.createElement("section");
  section.className = "media-table";
  section.tabIndex = 0; // it scrolls by keys where it is wider than the passage
  section.ariaLabel = content.text || source.title || "A table";
  section.textContent = "Reading the table …";
  fill(section, page, content).catch((error) => (section.textContent = error.message));
  return section;
}

async function fill(section, page, content) {
  const file = await (await page.call(`v1/contents/${content.sha256}`)).blob();
  const rows = cellsOf(await file.text());
  const [table, caption, link, told] = ["table", "caption", "a", "p"].map((tag) => document.createElement(tag));
  caption.textContent = section.ariaLabel;
  table.append(caption);
  const headed = content.metadata?.header && rows.length > 1;
  rows.slice(0, ROWS).forEach((cells, place) => {
    const row = (headed && !place ? table.createTHead() : (table.tBodies[0] ?? table.createTBody())).insertRow();
    for (const text of cells) {
      const cell = document.createElement(headed && !place ? "th" : "td");
      if (cell.tagName === "TH") cell.scope = "col";
      cell.textContent = text;
      row.append(cell);
    }
  });
  link.href = URL.createObjectURL(file);
  link.download = "table.csv";
  link.textContent = "Save as CSV";
  told.className = "small";
  told.append(rows.length > ROWS ? `The first ${ROWS} of ${rows.length} rows. ` : "", link);
  section.replaceChildren(table, told);
}

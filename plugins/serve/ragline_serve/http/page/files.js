// Files that come into the index, where the server takes some from whoever asks.

import { byId, tell } from "./dom.js";
import { bring } from "./talk.js";

/** Offer to bring files for the index of a model, and call `come` with the passages that it has when they are in it. */
export function offerFiles(model, come) {
  const [button, field] = [byId("bring"), byId("bring-files")];
  button.hidden = false;
  button.onclick = () => field.click();
  field.onchange = async () => {
    button.disabled = true;
    await bringAll([...field.files], model, come);
    button.disabled = false;
    field.value = "";
  };
}

async function bringAll(files, model, come) {
  const troubles = [];
  for (const file of files) {
    tell(byId("notice"), `Reading ${file.name} …`);
    try {
      come(await bringOne(file, model));
    } catch (error) {
      troubles.push(error.message);
    }
  }
  const n = files.length - troubles.length;
  const done = n ? `${n} ${n === 1 ? "file is" : "files are"} in the index. Questions find it in a moment.` : "";
  tell(byId("notice"), [done, ...troubles].filter(Boolean).join(" "));
}

async function bringOne(file, model) {
  try {
    return await bring(file, { model });
  } catch (error) {
    if (error.code !== "file_exists" || !confirm(`${error.message} Replace it?`)) throw error;
    return bring(file, { model, replace: true });
  }
}

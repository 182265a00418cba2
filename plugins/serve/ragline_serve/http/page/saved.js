// Conversations that the reader saved: in this browser alone, where they outlive the tab and whoever uses it can read them.

const PLACE = `ragline saved ${location.pathname}`;
const MOST = 50;
const MOST_CHARACTERS = 4_000_000;

/** All that are saved, the last used first: `id`, `name` and `turns`, as `save` was given them. */
export function saved() {
  try {
    const all = JSON.parse(localStorage.getItem(PLACE) ?? "[]");
    return Array.isArray(all) ? all.filter(isOne) : [];
  } catch {
    return []; // storage is switched off, or holds something else
  }
}

const isOne = (one) => typeof one?.id === "string" && typeof one.name === "string" && Array.isArray(one.turns);

/** Save a conversation, in the place of what was saved under its id. False where there is no room: nothing goes for it. */
export function save(conversation) {
  const all = [conversation, ...saved().filter(({ id }) => id !== conversation.id)];
  return all.length <= MOST && written(all);
}

export function remove(id) {
  return written(saved().filter((one) => one.id !== id));
}

function written(all) {
  const text = JSON.stringify(all);
  if (text.length > MOST_CHARACTERS) return false;
  try {
    localStorage.setItem(PLACE, text);
    return true;
  } catch {
    return false; // it has less room than we thought, or is switched off
  }
}

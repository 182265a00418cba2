// The conversation as this tab keeps it, so that it is still there after a reload. Gone with the tab.

const PLACE = `ragline ${location.pathname}`;
const SAVED_AS = `${PLACE} saved as`;
const SESSION = `${PLACE} session`;
const MOST_CHARACTERS = 2_000_000;

/** The answers that are kept, oldest first, each as `keep` was given it. */
export function kept() {
  try {
    const turns = JSON.parse(sessionStorage.getItem(PLACE) ?? "[]");
    return Array.isArray(turns) ? turns : [];
  } catch {
    return []; // storage is switched off, or holds something else
  }
}

/** Keep one more answer; where there is no room the oldest go. */
export function keep(turn) {
  keepAll([...kept(), turn]);
}

/** Keep these answers in the place of all others. */
export function keepAll(all) {
  const turns = [...all];
  for (; turns.length; turns.shift()) {
    const text = JSON.stringify(turns);
    if (text.length > MOST_CHARACTERS) continue;
    try {
      sessionStorage.setItem(PLACE, text);
      return;
    } catch {
      // it has less room than we thought
    }
  }
}

export function forget() {
  setCurrent("");
  setSession("");
  try {
    sessionStorage.removeItem(PLACE);
  } catch {
    // storage is switched off
  }
}

/** The id under which this tab's conversation is saved in this browser; empty where it is not. */
export const current = () => remembered(SAVED_AS);
export const setCurrent = (id) => remember(SAVED_AS, id);

/** The id under which the server keeps it; empty where it does not. */
export const session = () => remembered(SESSION);
export const setSession = (id) => remember(SESSION, id);

function remembered(place) {
  try {
    return sessionStorage.getItem(place) ?? "";
  } catch {
    return ""; // storage is switched off
  }
}

function remember(place, text) {
  try {
    sessionStorage.setItem(place, text);
  } catch {
    // storage is switched off
  }
}

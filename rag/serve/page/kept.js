// The conversation as this tab keeps it, so that it is still there after a reload. Gone with the tab.

const PLACE = `ragline ${location.pathname}`;
const SAVED_AS = `${PLACE} saved as`;
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
  try {
    sessionStorage.removeItem(PLACE);
  } catch {
    // storage is switched off
  }
}

/** The id under which this tab's conversation is saved; empty where it is not. */
export function current() {
  try {
    return sessionStorage.getItem(SAVED_AS) ?? "";
  } catch {
    return ""; // storage is switched off
  }
}

export function setCurrent(id) {
  try {
    sessionStorage.setItem(SAVED_AS, id);
  } catch {
    // storage is switched off
  }
}

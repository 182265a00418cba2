// Everything that goes over the wire: which model answers, whether the server is well, and one streamed question.

let key = ""; // in memory only

/** What the server, or the way to it, said instead of an answer. */
export class Refused extends Error {
  constructor(message, { status = 0, after = null, ragline = null, code = "" } = {}) {
    super(message);
    Object.assign(this, { status, after, ragline, code });
  }
}

export function useKey(text) {
  key = text;
}

/** Names of the models that the server offers. */
export async function models() {
  const response = await call("v1/models");
  return (await response.json()).data.map((model) => model.id);
}

/** The index that answers: names and passages of its `parts`, and `examples`, questions that it may answer. */
export async function searched(model) {
  const response = await call(`v1/index?${new URLSearchParams({ model })}`);
  return response.json();
}

/** What the documents can be filtered by, and how many passages pass the filter `where`. */
export async function fieldsOf({ model, where }) {
  const response = await call("v1/fields", { method: "POST", body: JSON.stringify({ model, where }) });
  return response.json();
}

/** How many documents that a question finds by its words have each value of a field: text of the value -> documents. */
export async function countsOf({ model, question, field, where }) {
  const asked = { model, query: question, k: 1, facets: [field], where };
  const response = await call("v1/search", { method: "POST", body: JSON.stringify(asked) });
  const { facets } = await response.json();
  return new Map(facets[field].values.map(({ value, documents }) => [String(value), documents]));
}

/** The document of a passage as the index holds it: `passages` in order, `asked` the place of the one that was asked for. */
export async function documentOf(passage, model) {
  const response = await call(`v1/documents?${new URLSearchParams({ id: passage, ...(model && { model }) })}`);
  return response.json();
}

/** Bring a file for the index; what the index holds then. */
export async function bring(file, { model, replace = false }) {
  const response = await call(`v1/files?${new URLSearchParams({ name: file.name, model, replace })}`, {
    method: "POST",
    body: file,
    headers: { "Content-Type": "application/octet-stream" },
  });
  return response.json();
}

/** Whether the server is still loading, and what of it is degraded, in words. */
export async function readiness() {
  const response = await fetch("ready", { cache: "no-store" }).catch(() => null);
  if (!response) return { loading: false, troubles: ["The server cannot be reached."] };
  const { status, degraded = [] } = await response.json();
  const parts = degraded.map(({ part, means }) => `${part}: ${means}.`);
  return { loading: status === "loading", troubles: parts.length ? ["Not everything works now.", ...parts] : [] };
}

/** Say what an answer was worth, by its entry in the log; null takes it back. */
export const rate = (entry, good) => call("v1/feedback", { method: "POST", body: JSON.stringify({ entry, good }) });

/** Conversations that the server keeps for whoever asks, the last used first. Fails where it lists none. */
export async function sessions() {
  const response = await call("v1/sessions");
  return (await response.json()).sessions;
}

/** The questions and answers of one of them; the server does not keep what they were written from. */
export async function turnsOf(id) {
  const response = await call(sessionAt(id));
  const { turns } = await response.json();
  const whole = { sources: [], citations: [], stages: [] };
  return turns.flatMap(({ content }, n) => (n % 2 ? [] : [{ question: content, text: turns[n + 1].content, whole, seconds: 0 }]));
}

export const nameSession = (id, name) => call(sessionAt(id), { method: "POST", body: JSON.stringify({ name }) });
export const forgetSession = (id) => call(sessionAt(id), { method: "DELETE" });

const sessionAt = (id) => `v1/sessions/${encodeURIComponent(id)}`;

/** Answer the last of the messages, from what passes the filter `where`, with `contents` beside it: yields the parsed chunks of the stream, in order. */
export async function* ask(messages, { model, signal, where, session, contents }) {
  const ragline = { where, session, contents: contents?.length ? contents : undefined };
  const body = JSON.stringify({ model, messages, stream: true, ...(Object.values(ragline).some(Boolean) && { ragline }) });
  const response = await call("v1/chat/completions", { method: "POST", body, signal });
  let ended = false;
  for await (const data of events(response.body)) {
    if (data === "[DONE]") {
      ended = true;
      break;
    }
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Refused(chunk.error.message, { status: response.status, ragline: chunk.ragline });
    yield chunk;
  }
  if (!ended) throw new Refused("The connection broke before the answer was whole.");
}

/** What the server answers at a path, with the key where there is one. */
export async function call(path, options = {}) {
  const headers = { "Content-Type": "application/json", ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server cannot be reached.");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  const said = await response.json().catch(() => ({}));
  const message = said.error?.message || `The server answered with status ${response.status}.`;
  const after = response.headers.get("Retry-After");
  return new Refused(message, { status: response.status, after, ragline: said.ragline || said.error?.ragline, code: said.error?.code });
}

/** The data of server-sent events, as their lines arrive. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const whole = (held + value).split(/\r?\n\r?\n/);
      held = whole.pop();
      for (const event of whole) {
        const data = dataOf(event);
        if (data) yield data;
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // the server learns that nobody listens any more
  }
}

function dataOf(event) {
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).trimStart()).join("\n");
}

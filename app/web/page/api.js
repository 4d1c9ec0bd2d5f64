// The service's public API, as any client would call it.
import { readNpz } from "./npz.js";

const STORED = "masksembles-api-key"; // in sessionStorage: gone with the tab

/** The service refused a request: its own error, and the HTTP status. */
export class Refused extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.field = error.field;
  }
}

/** There was no answer at all. */
export class Gone extends Error {
  constructor() {
    super("The service does not answer.");
  }
}

export const key = {
  get: () => sessionStorage.getItem(STORED),
  set: (value) => (value ? sessionStorage.setItem(STORED, value) : sessionStorage.removeItem(STORED)),
};

/** The response to a request; throws Refused, Gone, or AbortError. */
async function ask(path, { headers = {}, ...rest } = {}) {
  const known = key.get();
  // a header takes nothing else, and fetch would fail as if nobody answered
  if (known && !/^[\x21-\x7e]+$/.test(known)) throw new Refused(401, { code: "unauthorized", message: "A key is ASCII characters without blanks." });
  let response;
  try {
    response = await fetch(path, { ...rest, headers: known ? { ...headers, "X-API-Key": known } : headers });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Gone();
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw new Refused(response.status, body?.error ?? { code: "unknown", message: `HTTP status ${response.status}` });
}

const json = async (path) => (await ask(path)).json();

export const catalog = () => json("models");
export const version = (name, number) => json(`models/${encodeURIComponent(name)}/versions/${number}`);
export const metrics = async () => (await ask("metrics")).text();
export const ready = () => json("health/ready");

/**
 * Asks a model. `given` maps its inputs by name to { picture: Blob } or { values: nested arrays with one row or more }.
 * Returns { answer, seconds }.
 */
export async function predict(model, given, { outputs, signal } = {}) {
  const began = performance.now();
  const response = await ask(...request(model, given, { outputs, signal }));
  const answer = await response.json();
  return { answer, seconds: (performance.now() - began) / 1000 };
}

/** One map of one row as a picture, with the values of black and white; `colormap` colours a score. */
export async function mapPicture(model, given, output, { colormap, signal } = {}) {
  const [path, options] = request(model, given, { outputs: [output], colormap, signal });
  const response = await ask(path, { ...options, headers: { ...options.headers, Accept: "image/png" } });
  const range = response.headers.get("X-Map-Range");
  return { picture: await response.blob(), range: range?.split(/[ ,]+/).map(Number) };
}

/** Outputs as arrays by name: { data, shape }. */
export async function arrays(model, given, outputs, { signal } = {}) {
  const [path, options] = request(model, given, { outputs, signal });
  const response = await ask(path, { ...options, headers: { ...options.headers, Accept: "application/x-npz" } });
  return readNpz(await response.arrayBuffer());
}

/** The path and the options of a request to /predict. */
function request(model, given, { outputs, colormap, signal }) {
  const inputs = Object.entries(given);
  const fields = { model: model.name, version: model.version, outputs: outputs?.join(","), colormap };
  const query = new URLSearchParams(Object.entries(fields).filter(([, value]) => value !== undefined));
  if (inputs.length === 1 && inputs[0][1].picture) {
    const { picture } = inputs[0][1];
    return [`predict?${query}`, { method: "POST", headers: { "Content-Type": picture.type }, body: picture, signal }];
  }
  if (inputs.some(([, one]) => one.picture)) {
    const form = new FormData();
    for (const [name, value] of query) form.set(name, value);
    for (const [name, one] of inputs) {
      const part = one.picture ?? new Blob([JSON.stringify(one.values)], { type: "application/json" });
      form.set(name, part, name);
    }
    return ["predict", { method: "POST", body: form, signal }];
  }
  const values = Object.fromEntries(inputs.map(([name, one]) => [name, one.values]));
  const body = { model: model.name, version: model.version, outputs, inputs: values };
  return ["predict", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal }];
}

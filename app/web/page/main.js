// The page: what it shows follows from the address (#/try/fashion-mnist) and from the service's answers.
import { render } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { catalog, Gone, key, ready, version } from "./api.js";
import { family } from "./contract.js";
import { html } from "./html.js";
import { KeyDialog } from "./parts/key_dialog.js";
import { Problem } from "./parts/problem.js";
import { Card } from "./views/card.js";
import { Live } from "./views/live.js";
import { Path } from "./views/path.js";
import { Try } from "./views/try.js";

const VIEWS = { try: ["Try", Try], path: ["Compare", Path], card: ["Model card", Card], live: ["Live", Live] };
const AGAIN = 2000; // ms until the next look at a service that is gone

const decoded = (part) => {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a malformed address names no model that there is
  }
};

const route = () => {
  const [view, model] = location.hash.replace(/^#\//, "").split("/").map(decoded);
  return { view: view in VIEWS ? view : "try", model };
};

function useRoute() {
  const [now, setNow] = useState(route);
  useEffect(() => {
    const moved = () => setNow(route());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return now;
}

function Page() {
  const { view, model: wanted } = useRoute();
  const [models, setModels] = useState(null);
  const [fallback, setFallback] = useState(null);
  const [examples, setExamples] = useState(null);
  const [error, setError] = useState(null);
  const [asksKey, setAsksKey] = useState(null);

  const askKey = (problem) => setAsksKey(problem.status === 403 ? problem.message : key.get() ? "The service does not know this key." : "");
  const look = useCallback(async () => {
    try {
      const found = await catalog();
      const usable = found.models.filter((one) => one.version && one.heads);
      const contracts = await Promise.all(usable.map(async (one) => (await version(one.name, one.version)).contract));
      const made = usable.map((one, at) => ({ name: one.name, version: one.version, summary: one, contract: contracts[at] }));
      // what is as before stays the same object, so that nobody's drawing is lost
      setModels((old) => made.map((one) => old?.find((other) => other.name === one.name && other.version === one.version) ?? one));
      setFallback(found.default);
      setError(null);
      setAsksKey(null);
    } catch (problem) {
      if (problem.status === 401 || problem.status === 403) askKey(problem);
      else {
        setError(problem);
        setAsksKey(null);
      }
    }
  }, []);
  // a view's request failed: it shows why, unless a key or another version is needed
  const failed = useCallback((problem) => {
    if (problem.status === 401) askKey(problem);
    if (problem.status === 404) look();
  }, []);

  useEffect(() => {
    look();
    // pictures and texts to begin with; the page works without
    fetch("page/examples/examples.json").then((response) => response.json()).then(setExamples, () => setExamples({}));
    addEventListener("focus", look); // who comes back finds new versions
    return () => removeEventListener("focus", look);
  }, []);
  useEffect(() => {
    if (!(error instanceof Gone)) return undefined;
    const timer = setInterval(() => ready().then(look, () => {}), AGAIN);
    return () => clearInterval(timer);
  }, [error]);

  if (asksKey !== null) return html`<${Shell} ...${{ view }}><${KeyDialog} refused=${asksKey} done=${(value) => { key.set(value); look(); }} /><//>`;
  const trouble = error && html`<${Problem} error=${error} />${error instanceof Gone && html`<p class="note" role="status">Trying again every ${AGAIN / 1000} seconds.</p>`}`;
  if (!models || !examples) return html`<${Shell} ...${{ view }}>${trouble ?? html`<p class="note">Loading…</p>`}<//>`;
  const [, View] = VIEWS[view];
  const model = models.find((one) => one.name === (wanted || fallback || firstToShow(models))) ?? (wanted ? null : models[0]);
  return html`
    <${Shell} ...${{ view, models, model, changeKey: key.get() && (() => setAsksKey("")) }}>
      ${trouble}
      ${view === "live" || model
        ? html`<${View} key=${keyOf(view, model)} ...${{ models, model, contract: model?.contract, examples, failed }} />`
        : html`<p class="note">${models.length ? `There is no model ${wanted}.` : "The repository holds no model that can be asked."}</p>`}
    <//>`;
}

/** A view begins anew with another model; what is compared stays while the question is the same. */
const keyOf = (view, model) => (view === "live" ? view : `${view} ${view === "path" ? family(model.contract) : model.name}`);

/** A model that one can draw for says more than a table. */
const firstToShow = (models) => (models.find((one) => one.name === "fashion-mnist") ?? models.find((one) => one.summary.inputs.some((input) => input.image)) ?? models[0])?.name;

function Shell({ view, models, model, changeKey, children }) {
  const choose = (event) => (location.hash = `#/${view}/${encodeURIComponent(event.target.value)}`);
  return html`
    <header>
      <a class="brand" href="#/try"><img src="page/icon.svg" alt="" width="28" height="28" />Masksembles</a>
      <nav aria-label="Views">
        ${Object.entries(VIEWS).map(([name, [title]]) => html`<a key=${name} href=${`#/${name}${model ? `/${encodeURIComponent(model.name)}` : ""}`} aria-current=${name === view ? "page" : undefined}>${title}</a>`)}
        <a href="docs">API</a>
      </nav>
      ${changeKey && html`<button type="button" onClick=${changeKey}>Change key</button>`}
      ${models && view !== "live" && html`<label class="model">Model
        <select value=${model?.name} onChange=${choose}>${models.map((one) => html`<option key=${one.name} value=${one.name}>${one.name}</option>`)}</select></label>`}
    </header>
    <main>${children}</main>`;
}

// a picture dropped beside its place must not take the page's
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());

render(html`<${Page} />`, document.getElementById("page"));

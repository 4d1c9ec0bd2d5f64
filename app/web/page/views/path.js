// The paper's idea as a slider: the same input through a single network, MC-dropout, Masksembles of growing S, and a deep
// ensemble, as far as such models are served; with what each costs.
import { useCallback, useEffect, useState } from "preact/hooks";
import { answerOf } from "../answers/index.js";
import { useAnswer } from "../ask.js";
import { alongPath, asked, dataOf, densePasses, family, kindOf, METHOD_NAMES, scaleOf } from "../contract.js";
import { html } from "../html.js";
import { INPUTS } from "../inputs/index.js";
import { milliseconds, number, percent } from "../format.js";
import { Problem } from "../parts/problem.js";

export function Path({ models, model, contract, examples, failed }) {
  const own = family(contract);
  const stops = models.filter((one) => family(one.contract) === own).sort(alongPath);
  const [at, setAt] = useState(() => stops.findIndex((one) => one.name === model.name));
  const [given, setGiven] = useState(null);
  const [found, setFound] = useState({});
  const place = Math.min(Math.max(at, 0), stops.length - 1);
  const stop = stops[place];
  const [shared] = useState(contract); // another contract would begin another input
  const [input, ...others] = asked(shared);
  const Kind = INPUTS[kindOf(input)];
  const give = useCallback((value) => setGiven(value && { [input.name]: value }), [input.name]);
  const keep = useCallback((name, result) => setFound((old) => ({ ...old, [name]: result })), []);

  useEffect(() => setAt(stops.findIndex((one) => one.name === model.name)), [model.name]);

  if (others.length) return html`<p class="note">Models with several inputs are not compared here.</p>`;
  const Answer = answerOf(stop.contract.heads[0]);
  const result = given ? found[stop.name] : undefined;
  return html`
    <div class="path">
      <h1>From one network to an ensemble</h1>
      <p class="lead">Masks that overlap entirely make one network; masks that share nothing make an ensemble. In between, Masksembles buy an ensemble's doubt for the price of a network. Move the slider: the input stays the same.</p>
      ${stops.map((one) => html`<${Asked} key=${one.name} model=${one} given=${given} keep=${keep} failed=${failed} />`)}
      ${stops.length === 1
        ? html`<p class="note">Only ${stop.name} answers this question here. Choose another model, such as one of fashion-mnist or sinusoids.</p>`
        : html`<${Slider} ...${{ stops, place, found }} choose=${setAt} />`}
      <div class="try">
        <section aria-labelledby="same-title"><h2 id="same-title">The same input</h2>
          <${Kind} key=${own} ...${{ contract: shared, model: stop, input, examples: examples[dataOf(shared)], give }} /></section>
        <section aria-labelledby="says-title" aria-live="polite"><h2 id="says-title">${titleOf(stop)} <small>${stop.name}</small></h2>
          <${Costs} stop=${stop} seconds=${result?.seconds} />
          ${!given && html`<p class="note">Give the models an input that they can take.</p>`}
          ${result?.error && html`<${Problem} error=${result.error} />`}
          ${result?.answer && html`<${Answer} model=${stop} head=${stop.contract.heads[0]} answer=${result.answer.predictions[0]} given=${result.given} />`}
        </section>
      </div>
    </div>`;
}

/** Asks one model, and shows nothing. */
function Asked({ model, given, keep, failed }) {
  const found = useAnswer(model, given);
  useEffect(() => {
    if (found.answer || found.error) keep(model.name, found);
    if (found.error) failed(found.error);
  }, [found]);
  return null;
}

function titleOf({ contract }) {
  const scale = contract.method === "masksembles" ? `, S = ${number(scaleOf(contract), 2)}` : "";
  return `${METHOD_NAMES[contract.method]}${scale}`;
}

const SHORT = { single: "one", "mc-dropout": "dropout", "deep-ensemble": "ensemble" };
const shortOf = ({ contract }) => SHORT[contract.method] ?? `S ${number(scaleOf(contract), 2)}`;

function Slider({ stops, place, choose, found }) {
  const scores = (name) => found[name]?.answer?.predictions[0];
  const of = (name) => scores(name)?.row_scores ?? scores(name) ?? {};
  const most = Math.max(1e-9, ...stops.map(({ name }) => of(name).entropy ?? 0));
  const share = (value) => `${(100 * Math.max(0, value ?? 0)) / most}%`;
  return html`
    <div class="stops" style=${{ "--stops": stops.length }}>
      <div class="bars">
        ${stops.map((one, at) => html`<button type="button" key=${one.name} aria-pressed=${at === place} onClick=${() => choose(at)}
          aria-label=${`${titleOf(one)}: expected entropy ${number(of(one.name).expected_entropy)}, mutual information ${number(of(one.name).mutual_information)} nats`}>
          <span class="stack"><span class="mutual" style=${{ height: share(of(one.name).mutual_information) }}></span><span class="expected" style=${{ height: share(of(one.name).expected_entropy) }}></span></span>
        </button>`)}
      </div>
      <input type="range" min="0" max=${stops.length - 1} step="1" value=${place} aria-label="Method" aria-valuetext=${titleOf(stops[place])}
        onInput=${(event) => choose(Number(event.target.value))} />
      <div class="ticks" aria-hidden="true">${stops.map((one, at) => html`<span key=${one.name} class=${at === place ? "here" : ""}><span class="full">${titleOf(one)}</span><span class="short">${shortOf(one)}</span><small>${price(one)}</small></span>`)}</div>
      <p class="legend"><span><span class="dot expected"></span>expected entropy: the input is ambiguous</span>
        <span><span class="dot mutual"></span>mutual information: the submodels disagree</span></p>
    </div>`;
}

const price = ({ contract }) => {
  const passes = densePasses(contract);
  return passes ? `${passes.toFixed(2)} ×` : "";
};

function Costs({ stop, seconds }) {
  const { evaluation } = stop.contract.heads[0];
  const facts = [
    [price(stop), "one network's arithmetic"],
    [evaluation?.accuracy !== undefined && percent(evaluation.accuracy), "accuracy"],
    [evaluation?.ece !== undefined && percent(evaluation.ece), "calibration error"],
    [seconds !== undefined && milliseconds(seconds), "for this answer"],
  ].filter(([value]) => value);
  return html`<ul class="costs">${facts.map(([value, name]) => html`<li key=${name}><b>${value}</b> ${name}</li>`)}</ul>`;
}

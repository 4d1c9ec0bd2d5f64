// Give a model an input, and see what it answers and how sure it is.
import { useCallback, useEffect, useState } from "preact/hooks";
import { answerOf } from "../answers/index.js";
import { useAnswer } from "../ask.js";
import { asked, dataOf, kindOf, METHOD_NAMES } from "../contract.js";
import { html } from "../html.js";
import { INPUTS } from "../inputs/index.js";
import { milliseconds } from "../format.js";
import { Curl } from "../parts/curl.js";
import { Problem } from "../parts/problem.js";

export function Try({ model, contract, examples, failed }) {
  const [given, setGiven] = useState({});
  const give = useCallback((name, value) => setGiven((old) => ({ ...old, [name]: value })), []);
  const inputs = asked(contract);
  const complete = inputs.every(({ name }) => given[name]) && given;
  const found = useAnswer(model, complete || null);
  const prediction = complete ? found.answer?.predictions[0] : undefined; // an answer to what is no longer there misleads
  useEffect(() => {
    if (found.error) failed(found.error);
  }, [found.error]);
  const current = found.model?.name === model.name && found.model?.version === model.version;

  return html`
    <h1>Ask a model, and see how sure it is and why</h1>
    <div class="try">
      <section aria-labelledby="input-title">
        <h2 id="input-title">Input</h2>
        ${inputs.map((input) => html`<${Input} key=${`${model.name} ${input.name}`} ...${{ model, contract, input, give, examples }} named=${inputs.length > 1} />`)}
      </section>
      <section aria-labelledby="answer-title" aria-live="polite" aria-busy=${Boolean(complete && !found.answer && !found.error)}>
        <h2 id="answer-title">Answer</h2>
        ${complete && found.error && html`<${Problem} error=${found.error} />`}
        ${prediction && current && contract.heads.map((head) => {
          const Answer = answerOf(head);
          const own = head.name ? prediction.heads[head.name] : prediction;
          return html`<div key=${head.name}>${head.name && html`<h3 class="head">${head.name}</h3>`}
            <${Answer} ...${{ model, head, answer: own, given: found.given }} /></div>`;
        })}
        ${prediction && current && html`<p class="note">${METHOD_NAMES[contract.method]}, ${contract.num_submodels} ${contract.num_submodels === 1 ? "network" : "submodels"}, ${milliseconds(found.seconds)} there and back.</p>
          <${Curl} ...${{ model, contract, given: found.given }} />`}
        ${!complete && html`<p class="note">Give the model an input that it can take.</p>`}
      </section>
    </div>`;
}

function Input({ model, contract, input, give, examples, named }) {
  const Kind = INPUTS[kindOf(input)];
  const own = useCallback((value) => give(input.name, value), [give, input.name]);
  return html`<div>${named && html`<h3>${input.name}</h3>`}
    <${Kind} ...${{ model, contract, input, give: own, examples: examples?.[dataOf(contract)] }} /></div>`;
}

// The answer of a classifier.
import { html } from "../html.js";
import { percent } from "../format.js";
import { Decision } from "../parts/decision.js";
import { Matrix } from "../parts/matrix.js";
import { Uncertainty } from "../parts/uncertainty.js";

export function Classes({ head, answer }) {
  const { label, confidence, probabilities, submodels = [], prediction_set: set } = answer;
  const agree = submodels.filter((one) => one.index === answer.index).length;
  const all = submodels.length;
  return html`
    <div class="answer">
      <p class="headline"><strong>${label}</strong> <span>${percent(confidence)}</span></p>
      <${Decision} decision=${answer.decision} percentiles=${answer.percentiles} />
      ${all > 1 && html`<h3>${agree === all ? `All ${all} submodels agree` : `${agree} of ${all} submodels say ${label}`}</h3>`}
      <${Matrix} labels=${head.labels} mean=${probabilities} submodels=${submodels.map((one) => one.probabilities)} first=${submodels.map((one) => one.index)} />
      <h3>How sure, and why not</h3>
      <${Uncertainty} scores=${answer} most=${Math.log(head.labels.length)} percentiles=${answer.percentiles} quantiles=${head.calibration?.quantiles} />
      ${set && html`<p class="promise">With ${percent(set.coverage, 0)} coverage it is ${set.labels.length === 1 ? "" : "one of "}${set.labels.length ? list(set.labels) : "none of the classes: so little is probable"}.</p>`}
    </div>`;
}

const list = (labels) => html`<b>${labels.join(", ")}</b>`;

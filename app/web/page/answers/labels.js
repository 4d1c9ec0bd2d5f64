// The answer of a multilabel model: each label on or off.
import { html } from "../html.js";
import { percent } from "../format.js";
import { Decision } from "../parts/decision.js";
import { Matrix } from "../parts/matrix.js";
import { Uncertainty } from "../parts/uncertainty.js";

export function Labels({ head, answer }) {
  const { labels, probabilities, submodels = [], prediction_set: set } = answer;
  return html`
    <div class="answer">
      <p class="headline"><strong>${labels.length ? labels.join(", ") : "no label"}</strong></p>
      <${Decision} decision=${answer.decision} percentiles=${answer.percentiles} />
      <h3>What each submodel says</h3>
      <${Matrix} labels=${head.labels} mean=${probabilities} submodels=${submodels.map((one) => one.probabilities)} />
      <h3>How sure, and why not <small>(mean over the labels)</small></h3>
      <${Uncertainty} scores=${answer.row_scores} most=${Math.LN2} percentiles=${answer.percentiles} quantiles=${head.calibration?.quantiles} />
      ${set && html`<p class="promise">With ${percent(set.coverage, 0)} coverage, all labels that are on are among <b>${set.labels.join(", ") || "none"}</b>.</p>`}
    </div>`;
}

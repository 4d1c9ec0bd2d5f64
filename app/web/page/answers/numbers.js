// The answer of a regressor: each target with its intervals and what every submodel says.
import { html } from "../html.js";
import { number, percent } from "../format.js";
import { Decision } from "../parts/decision.js";
import { Uncertainty } from "../parts/uncertainty.js";

export function Numbers({ head, answer }) {
  return html`
    <div class="answer">
      ${head.targets.map((target, d) => html`<${Target} key=${target.name} target=${target} answer=${answer} d=${d} />`)}
      <${Decision} decision=${answer.decision} percentiles=${answer.percentiles} />
      <h3>How sure, and why not</h3>
      <${Uncertainty} scores=${answer} percentiles=${answer.percentiles} quantiles=${head.calibration?.quantiles} />
    </div>`;
}

function Target({ target, answer, d }) {
  const { prediction, submodels = [] } = answer;
  const intervals = answer.intervals ?? []; // null without a calibration
  const widest = intervals.at(-1);
  const values = submodels.map((one) => one.prediction[d]);
  const [least, most] = [Math.min(...values, widest?.lower[d] ?? Infinity), Math.max(...values, widest?.upper[d] ?? -Infinity)];
  const margin = (most - least) * 0.05 || 1;
  const x = (value) => `${(100 * (value - least + margin)) / (most - least + 2 * margin)}%`;
  const epistemic = answer.epistemic_variance?.[d];
  return html`
    <div class="target">
      <p class="headline"><strong>${number(prediction[d], 4)}</strong> <span>${target.name}</span></p>
      <p class="note">${target.unit}</p>
      <div class="numbers" role="img" aria-label=${`${target.name}: ${number(prediction[d])}; submodels say ${values.map((one) => number(one)).join(", ")}`}>
        ${intervals.map(({ coverage, lower, upper }) => html`<span key=${coverage} class="interval" title=${percent(coverage, 0)}
          style=${{ left: x(lower[d]), right: `calc(100% - ${x(upper[d])})` }}></span>`)}
        ${values.map((value, n) => html`<span key=${n} class="one" style=${{ left: x(value) }} title=${`submodel ${n + 1}: ${number(value)}`}></span>`)}
        <span class="mean" style=${{ left: x(prediction[d]) }}></span>
      </div>
      ${widest && html`<p class="scale"><span>${number(widest.lower[d])}</span><span>${number(widest.upper[d])}</span></p>`}
      ${intervals.map(({ coverage, lower, upper }) => html`<p class="promise" key=${coverage}>With ${percent(coverage, 0)} coverage between <b>${number(lower[d])}</b> and <b>${number(upper[d])}</b>.</p>`)}
      ${epistemic !== undefined && answer.expected_entropy !== undefined && answer.variance[d] > 0 && html`<p class="note">Of the variance, ${percent(epistemic / answer.variance[d])} is the submodels' disagreement; the rest is noise that the model expects.</p>`}
    </div>`;
}

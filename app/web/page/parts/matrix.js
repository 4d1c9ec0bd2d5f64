// Labels by submodels: a bar in each cell. What disagrees can be seen at once.
import { html } from "../html.js";
import { percent } from "../format.js";

const SHOWN = 6;

/**
 * `mean` [K] and `submodels` [N][K] are probabilities. `first` are the labels at which each submodel has its highest,
 * or null where labels are independent; `order` puts the most probable labels first.
 */
export function Matrix({ labels, mean, submodels, first }) {
  const most = labels.map((_, k) => Math.max(mean[k], ...submodels.map((one) => one[k])));
  const order = labels.map((_, k) => k).sort((a, b) => mean[b] - mean[a] || most[b] - most[a]);
  // a label that one submodel alone believes in is what one wants to see
  const kept = order.slice(0, SHOWN - 1);
  const odd = order.slice(SHOWN - 1).sort((a, b) => most[b] - most[a])[0];
  if (odd !== undefined) kept.push(odd);
  const several = submodels.length > 1;
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="Probabilities">
    <table class="matrix">
      <thead><tr><td></td><th scope="col">${several ? "mean" : "probability"}</th>
        ${several && submodels.map((_, n) => html`<th scope="col" key=${n}>${n + 1}</th>`)}</tr></thead>
      <tbody>
        ${kept.map((k) => html`<tr key=${labels[k]}>
          <th scope="row" title=${labels[k]}>${labels[k]}</th>
          <${Cell} value=${mean[k]} kind="mean" />
          ${several && submodels.map((one, n) => html`<${Cell} key=${n} value=${one[k]} kind=${first?.[n] === k ? "first" : ""} />`)}
        </tr>`)}
      </tbody>
    </table></div>`;
}

function Cell({ value, kind }) {
  return html`<td class=${kind}><span class="fill" style=${{ width: `${100 * value}%` }}></span><span class="figure">${percent(value, 0)}</span></td>`;
}

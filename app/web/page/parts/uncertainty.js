// Entropy, split into what the input leaves open and what the model does not know, against the calibration rows.
import { html } from "../html.js";
import { nats, number, percentile, scoreName } from "../format.js";

/**
 * `most` is the largest entropy there can be; without one (differential entropy) there is no bar. `quantiles` are the
 * contract's, 101 by score.
 */
export function Uncertainty({ scores, most, percentiles, quantiles }) {
  const { entropy, expected_entropy: expected, mutual_information: mutual } = scores;
  if (entropy === undefined || entropy === null) {
    return html`<p class="note">This model's submodels predict no variance, so there are no entropies.</p>`;
  }
  const share = (value) => `${Math.min(100, (100 * Math.max(0, value)) / most)}%`;
  return html`
    <div class="uncertainty">
      ${most && expected !== undefined && mutual !== undefined && html`
        <div class="bar" role="img" aria-label=${`Entropy ${number(entropy)} of at most ${number(most)} nats: ${number(expected)} expected entropy and ${number(mutual)} mutual information`}>
          <span class="expected" style=${{ width: share(expected) }}></span><span class="mutual" style=${{ width: share(mutual) }}></span>
        </div>
        <p class="scale"><span>0</span><span>${number(most)} nats: no idea at all</span></p>`}
      <dl class="scores">
        ${[
          ["entropy", entropy, "", "all uncertainty"],
          ["expected_entropy", expected, "expected", "the input is ambiguous"],
          ["mutual_information", mutual, "mutual", "the submodels disagree: the model's own ignorance"],
        ].filter(([, value]) => value !== undefined && value !== null).map(([score, value, kind, meaning]) => html`
          <div key=${score}>
            <dt><span class=${`dot ${kind}`}></span>${scoreName(score)} <small>${meaning}</small></dt>
            <dd><b>${nats(value)}</b> nats</dd>
            ${percentiles?.[score] !== undefined && html`<dd class="rank">
              <${Rank} at=${percentiles[score]} quantiles=${quantiles?.[score]} />
              <small>${percentile(percentiles[score])}</small></dd>`}
          </div>`)}
      </dl>
    </div>`;
}

/** A position from 0 to 100 among the calibration rows, on a strip. */
function Rank({ at, quantiles }) {
  const middle = quantiles && `half of the calibration rows lie between ${number(quantiles[25])} and ${number(quantiles[75])}`;
  return html`<span class="strip" title=${middle} aria-hidden="true"><span class="half"></span><span class="mark" style=${{ left: `${at}%` }}></span></span>`;
}

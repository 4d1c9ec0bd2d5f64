// What to do with an answer, and why, in a sentence.
import { html } from "../html.js";
import { capital, number, percentile, scoreName } from "../format.js";

const ADVICE = {
  accept: ["Accept", "The model knows such inputs and is sure enough."],
  defer: ["Defer", "Let somebody look at it: the input is too uncertain to decide alone."],
  reject: ["Reject", "Don't use the answer: the input is unlike what the model was trained on."],
};

/** `percentiles` are the positions of the scores among the calibration rows. */
export function Decision({ decision, percentiles }) {
  if (!decision) return html`<p class="decision none">No policy decides on this model's answers.</p>`;
  const { action, score, value, threshold } = decision;
  const [word, advice] = ADVICE[action];
  const where = percentiles?.[score];
  const side = action === "accept" ? "within" : "past";
  return html`
    <div class=${`decision ${action}`}>
      <strong>${word}</strong>
      <span>${advice}${" "}<span class="why">${capital(scoreName(score))} ${number(value)} is ${side} the limit of ${number(threshold)}${where === undefined ? "" : `, and ${percentile(where)}`}.</span></span>
    </div>`;
}

// Numbers and words for people.

export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;

/** A number with about three significant digits, and a true minus sign. */
export function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(digits - 1) : Number(value.toPrecision(digits)).toString();
  return text.replace("-", "−");
}

export const milliseconds = (seconds) => `${(1000 * seconds).toFixed(seconds < 0.01 ? 1 : 0)} ms`;

/** A score in nats, with three decimals. */
export const nats = (value) => (value > 0 && value < 0.0005 ? "< 0.001" : value.toFixed(3).replace("-", "−"));

/** A position among the calibration rows, from 0 to 100. */
export function percentile(value) {
  if (value >= 100) return "higher than for all calibration rows";
  const shown = value > 99 || value < 1 ? Math.floor(10 * value) / 10 : Math.floor(value); // 99.98 is not 100
  return `higher than for ${shown} % of the calibration rows`;
}

export const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** The entropy and its two parts. */
export const ENTROPIES = ["entropy", "expected_entropy", "mutual_information"];

const SCORES = {
  confidence: "confidence",
  entropy: "entropy",
  expected_entropy: "expected entropy",
  mutual_information: "mutual information",
  energy: "energy",
  variance: "variance",
};
export const scoreName = (score) => SCORES[score] ?? score.replaceAll("_", " ");

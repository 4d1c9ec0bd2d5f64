// Reads Prometheus's text format: what /metrics answers.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** Samples by metric: Map of name → [{ labels, value }]. */
export function read(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const match = line[0] !== "#" && LINE.exec(line);
    if (!match) continue;
    const labels = Object.fromEntries([...(match[2] ?? "").matchAll(LABEL)].map(([, name, value]) => [name, value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c))]));
    if (!found.has(match[1])) found.set(match[1], []);
    found.get(match[1]).push({ labels, value: Number(match[3]) });
  }
  return found;
}

/** The sum of a metric's samples whose labels are as wanted. */
export const total = (samples, name, wanted = {}) =>
  (samples.get(name) ?? []).filter(({ labels }) => Object.entries(wanted).every(([key, value]) => labels[key] === value)).reduce((sum, { value }) => sum + value, 0);

/** The buckets of a histogram, summed over other labels: [[upper bound, count in this bucket]]. */
export function buckets(samples, name, wanted = {}) {
  const sums = new Map();
  for (const { labels, value } of samples.get(`${name}_bucket`) ?? []) {
    if (Object.entries(wanted).some(([key, one]) => labels[key] !== one)) continue;
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    sums.set(bound, (sums.get(bound) ?? 0) + value);
  }
  const ascending = [...sums].sort(([a], [b]) => a - b);
  return ascending.map(([bound, count], at) => [bound, count - (at ? ascending[at - 1][1] : 0)]);
}

/** Buckets of what came between two looks. */
export const since = (now, before) => now.map(([bound, count], at) => [bound, count - (before[at]?.[1] ?? 0)]);

/** A quantile, linear within its bucket, as Prometheus has it; null without samples. */
export function quantile(parts, q) {
  const count = parts.reduce((sum, [, one]) => sum + one, 0);
  if (!count) return null;
  let below = 0;
  for (const [at, [bound, one]] of parts.entries()) {
    const low = at ? parts[at - 1][0] : 0;
    if (below + one >= q * count && one) return bound === Infinity ? low : low + ((q * count - below) / one) * (bound - low);
    below += one;
  }
  return null;
}

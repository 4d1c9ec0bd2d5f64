// A model's card: what it is, how it was made, what it costs, how well it is calibrated, and what it promises.
import { METHOD_NAMES, densePasses } from "../contract.js";
import { html } from "../html.js";
import { ENTROPIES, number, percent, scoreName } from "../format.js";
import { Chart } from "../parts/chart.js";
import { Facts } from "../parts/facts.js";

const FIGURES = {
  nll: "negative log-likelihood",
  ece: "calibration error (ECE)",
  ece_uncalibrated: "ECE before calibration",
  mean_iou: "mean IoU",
  rmse: "root mean square error",
  crps: "CRPS",
  row_ece: "ECE of rows",
};

export function Card({ model, contract }) {
  return html`
    <article class="card">
      <h1>${model.name} <small>version ${model.version}</small></h1>
      <div class="columns">
        <section><h2>What it is</h2><${Facts} facts=${about(contract)} /></section>
        <section><h2>What it costs</h2><${Facts} facts=${cost(contract)} /></section>
        ${contract.masks && html`<section><h2>Masks</h2><${Masks} layers=${contract.masks.layers} /></section>`}
        <section><h2>Where it came from</h2><${Facts} facts=${provenance(contract.origin)} /></section>
      </div>
      ${contract.heads.map((head) => html`<${Head} key=${head.name} head=${head} />`)}
    </article>`;
}

function about(contract) {
  const heads = contract.heads.map((head) => `${head.name ? `${head.name}: ` : ""}${head.task}${head.grid.length ? ` for each cell of [${head.grid.join(", ")}]` : ""}`);
  return {
    Method: METHOD_NAMES[contract.method],
    Submodels: contract.num_submodels,
    Inputs: contract.inputs.map((input) => `${input.name}: ${input.dtype} [${input.shape.join(", ")}]`),
    Answers: heads,
    Labels: contract.heads.flatMap((head) => head.labels.length ? [head.labels.join(", ")] : head.targets.map((one) => `${one.name} (${one.unit})`)),
  };
}

function cost(contract) {
  const passes = densePasses(contract);
  const { device, reason } = contract.compilation ?? {};
  return {
    Plan: contract.plan,
    Precision: contract.precision,
    "Dense passes": passes && `${passes.toFixed(2)} of the network without masks, for all ${contract.num_submodels} submodels`,
    "Multiply-accumulates": contract.compilation?.macs?.toLocaleString("en"),
    Device: device,
    Why: reason,
  };
}

function provenance(origin) {
  const { recipe = {}, software = {}, ...rest } = origin ?? {};
  const plain = (values) => Object.entries(values).filter(([, value]) => value !== null && typeof value !== "object").map(([name, value]) => `${name} ${value}`);
  return {
    ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null).map(([name, value]) => [name.replaceAll("_", " "), typeof value === "object" ? JSON.stringify(value) : value])),
    software: plain(software),
    recipe: [plain(recipe).join(", ")].filter(Boolean),
  };
}

function Masks({ layers }) {
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="Masks">
      <table><thead><tr><th scope="col">layer</th><th scope="col">channels</th><th scope="col">kept</th><th scope="col">S</th><th scope="col">overlap (IoU)</th></tr></thead>
      <tbody>${layers.map((layer, at) => html`<tr key=${at}><th scope="row">${at + 1}</th><td>${layer.channels}</td><td>${layer.kept}</td><td>${number(layer.effective_scale)}</td>
        <td><span class="meter"><span style=${{ width: percent(layer.iou, 0).replace(" ", "") }}></span></span> ${percent(layer.iou, 0)}</td></tr>`)}</tbody></table>
    </div>
    <p class="note">The less two masks overlap, the more independent the submodels are.</p>`;
}

function Head({ head }) {
  const { evaluation, calibration, policy } = head;
  const figures = Object.entries(evaluation ?? {}).filter(([, value]) => typeof value === "number" || typeof value === "string");
  return html`
    <h2>${head.name || "Its answers"}</h2>
    <div class="columns">
      ${evaluation && html`<section><h3>On test data</h3><${Facts} facts=${Object.fromEntries(figures.map(([name, value]) => [FIGURES[name] ?? name.replaceAll("_", " "), typeof value === "number" ? number(value, 4) : value]))} /></section>`}
      ${evaluation?.reliability && html`<section><h3>Reliability</h3><${Reliability} bins=${evaluation.reliability} /></section>`}
      ${evaluation?.coverage_by_level && html`<section><h3>Coverage of intervals</h3><${Coverage} levels=${evaluation.coverage_by_level} targets=${head.targets} /></section>`}
      ${evaluation?.risk_coverage && html`<section><h3>Risk and coverage</h3><${RiskCoverage} curves=${evaluation.risk_coverage} targets=${head.targets} /></section>`}
      ${calibration && html`<section><h3>Scores of the calibration rows</h3><${Quantiles} calibration=${calibration} /></section>`}
      ${policy && html`<section><h3>Policy of the file</h3><ul>${policy.rules.map((rule) => html`<li key=${rule.score + rule.action}><b>${rule.action}</b> if ${scoreName(rule.score)} ${rule.below || rule.score === "confidence" ? "<" : ">"} ${number(rule.threshold)}</li>`)}</ul></section>`}
      ${calibration?.thresholds?.length > 0 && html`<section><h3>Promises</h3><${Promises} thresholds=${calibration.thresholds} /></section>`}
      ${head.calibration?.warnings?.length > 0 && html`<section><h3>Warnings</h3><ul>${calibration.warnings.map((one) => html`<li key=${one}>${one}</li>`)}</ul></section>`}
    </div>`;
}

function Reliability({ bins }) {
  const filled = bins.filter((bin) => bin.count);
  const columns = [[0, ...filled.map((bin) => bin.confidence), 1], [null, ...filled.map((bin) => bin.accuracy), null], [0, ...filled.map((bin) => bin.confidence), 1]];
  return html`<${Chart} columns=${columns} x=${{ label: "confidence", range: [0, 1] }} y=${{ label: "accuracy", range: [0, 1] }}
    lines=${[{ label: "accuracy", colour: "--model", points: true }, { label: "perfect", colour: "--quiet", dashed: true }]}
    summary=${`Reliability: ${filled.map((bin) => `${percent(bin.confidence, 0)} sure, ${percent(bin.accuracy, 0)} right`).join("; ")}`} />`;
}

const HUES = ["--model", "--data", "--accept", "--reject"];
const hue = (at) => HUES[at % HUES.length];

function Coverage({ levels, targets }) {
  const nominal = levels.map((one) => one.level);
  const columns = [nominal, ...targets.map((_, d) => levels.map((one) => one.coverage[d])), nominal];
  const lines = targets.map((target, d) => ({ label: target.name, colour: hue(d), points: true }));
  return html`<${Chart} columns=${columns} x=${{ label: "nominal coverage", range: [0, 1] }} y=${{ label: "observed", range: [0, 1] }}
    lines=${[...lines, { label: "perfect", colour: "--quiet", dashed: true }]}
    summary=${`Intervals: ${levels.map((one) => `${percent(one.level, 0)} nominal, ${percent(one.coverage[0], 0)} observed`).join("; ")}`} />`;
}

/** How wrong the accepted rows are when the most doubtful are left out: by score, and for regression by target. */
function RiskCoverage({ curves, targets }) {
  const all = Object.entries(curves).flatMap(([score, points]) => {
    const coverage = points.map((point) => point.coverage);
    if (points[0].risk !== undefined) return [{ label: `by ${scoreName(score)}`, coverage, risk: points.map((point) => point.risk) }];
    return targets.map((target, d) => ({ label: `${target.name}, by ${scoreName(score)}`, coverage, risk: points.map((point) => point.rmse[d]) }));
  });
  const error = targets.length ? "root mean square error" : "share of wrong answers";
  return html`<${Chart} columns=${[all[0].coverage, ...all.map((one) => one.risk)]} x=${{ label: "share of rows accepted", range: [0, 1] }} y=${{ label: error }}
    lines=${all.map(({ label }, at) => ({ label, colour: hue(at), points: true }))}
    summary=${`${error}: ${all[0].coverage.map((coverage, at) => `${number(all[0].risk[at])} with ${percent(coverage, 0)} accepted`).join("; ")}`} />`;
}

function Quantiles({ calibration }) {
  const scores = ENTROPIES.filter((score) => calibration.quantiles[score]);
  const hues = ["--ink", "--data", "--model"];
  const columns = [Array.from({ length: 101 }, (_, at) => at), ...scores.map((score) => calibration.quantiles[score])];
  return html`<${Chart} columns=${columns} x=${{ label: "percentile", range: [0, 100] }} y=${{ label: "nats" }}
    lines=${scores.map((score, at) => ({ label: scoreName(score), colour: hues[at] }))}
    summary=${`Medians: ${scores.map((score) => `${scoreName(score)} ${number(calibration.quantiles[score][50])}`).join(", ")} nats, of ${calibration.rows} rows`} />`;
}

function Promises({ thresholds }) {
  const entropy = thresholds.filter((one) => one.score === "entropy");
  const kept = entropy.length ? entropy : thresholds.filter((one) => one.score === thresholds[0].score);
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="Promises">
      <table><thead><tr><th scope="col">guarantee</th><th scope="col">accept if</th><th scope="col">rows accepted</th><th scope="col">wrong among them</th></tr></thead>
      <tbody>${kept.map((one) => html`<tr key=${one.guarantee + one.target}><th scope="row">${one.guarantee} ${percent(one.target, 0)}</th>
        <td>${one.value === null ? "cannot be kept" : `${scoreName(one.score)} ${one.score === "confidence" ? "≥" : "≤"} ${number(one.value)}`}</td>
        <td>${one.coverage === null || one.coverage === undefined ? "–" : percent(one.coverage)}</td><td>${one.risk === null || one.risk === undefined ? "–" : percent(one.risk)}</td></tr>`)}</tbody></table>
    </div>`;
}

// The service as it works: what /metrics says, every two seconds.
import { useEffect, useRef, useState } from "preact/hooks";
import { metrics } from "../api.js";
import { buckets, quantile, read, since, total } from "../exposition.js";
import { html } from "../html.js";
import { milliseconds, number, percent, scoreName } from "../format.js";
import { Chart } from "../parts/chart.js";
import { Problem } from "../parts/problem.js";

const EVERY = 2000; // ms
const KEPT = 150; // looks: five minutes
const REQUESTS = "masksembles_requests_total";
const SECONDS = "masksembles_request_seconds";
const ROWS = "masksembles_batch_rows";

function useMetrics(failed) {
  const [looks, setLooks] = useState([]);
  const [error, setError] = useState(null);
  useEffect(() => {
    let stopped = false;
    let timer;
    const look = async () => {
      if (!document.hidden) {
        try {
          const samples = read(await metrics());
          if (stopped) return;
          setLooks((old) => [...old.slice(1 - KEPT), { at: Date.now() / 1000, samples }]);
          setError(null);
        } catch (problem) {
          if (stopped) return;
          setError(problem);
          if (problem.status === 401) failed(problem);
        }
      }
      timer = setTimeout(look, EVERY);
    };
    look();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, []);
  return [looks, error];
}

/** What happened between one look and the next; a restart begins anew. */
function step(before, now) {
  const seconds = now.at - before.at;
  const restarted = total(now.samples, REQUESTS) < total(before.samples, REQUESTS);
  const then = restarted ? new Map() : before.samples;
  const grown = (name, wanted) => total(now.samples, name, wanted) - total(then, name, wanted);
  const latency = since(buckets(now.samples, SECONDS), buckets(then, SECONDS));
  const batches = grown(`${ROWS}_count`);
  return {
    at: now.at,
    ok: grown(REQUESTS, { outcome: "ok" }) / seconds,
    failed: (grown(REQUESTS) - grown(REQUESTS, { outcome: "ok" })) / seconds,
    median: quantile(latency, 0.5),
    slowest: quantile(latency, 0.99),
    rows: batches > 0 ? grown(`${ROWS}_sum`) / batches : null,
    queue: total(now.samples, "masksembles_queue_rows"),
  };
}

export function Live({ failed }) {
  const [looks, error] = useMetrics(failed);
  const steps = looks.slice(1).map((now, at) => step(looks[at], now));
  const last = looks.at(-1);
  const column = (name, factor = 1) => steps.map((one) => (one[name] === null ? null : one[name] * factor));
  const times = column("at");
  const x = { time: true, range: () => [Date.now() / 1000 - (KEPT * EVERY) / 1000, Date.now() / 1000] };
  const recent = steps.at(-1);
  return html`
    <div class="live">
      <h1>Live <small>from /metrics, every ${EVERY / 1000} s</small></h1>
      ${error && html`<${Problem} error=${error.status === 403 ? { code: error.code, message: "This key may not read metrics; it needs the scope metrics." } : error} />`}
      ${last && html`
        <ul class="costs">
          <li><b>${recent ? number(recent.ok + recent.failed, 3) : "–"}</b> requests a second</li>
          <li><b>${recent?.median ? milliseconds(recent.median) : "–"}</b> median</li>
          <li><b>${recent?.rows ? number(recent.rows) : "–"}</b> rows in a batch</li>
          <li><b>${number(total(last.samples, REQUESTS))}</b> requests since the start</li>
          <li><b>${total(last.samples, "masksembles_ready") ? "ready" : "not ready"}</b></li>
        </ul>
        ${steps.length > 0 && html`<div class="columns">
          <section><h2>Requests a second</h2><${Chart} columns=${[times, column("ok"), column("failed")]} x=${x} y=${{ range: upwards }}
            lines=${[{ label: "answered", colour: "--accept" }, { label: "refused or failed", colour: "--reject" }]} summary=${`${number(recent?.ok ?? 0)} answered a second`} /></section>
          <section><h2>Latency, ms</h2><${Chart} columns=${[times, column("median", 1000), column("slowest", 1000)]} x=${x} y=${{ range: upwards }}
            lines=${[{ label: "median", colour: "--model" }, { label: "99 %", colour: "--data" }]} summary=${recent?.median ? `Median ${milliseconds(recent.median)}` : "No requests"} /></section>
          <section><h2>Rows in a batch, and waiting</h2><${Chart} columns=${[times, column("rows"), column("queue")]} x=${x} y=${{ range: upwards }}
            lines=${[{ label: "rows in a batch", colour: "--model" }, { label: "rows that wait", colour: "--quiet", dashed: true }]} summary=${`${number(recent?.rows ?? 0)} rows in a batch`} /></section>
          <section><h2>Decisions</h2><${Decisions} samples=${last.samples} /></section>
        </div>`}
        <h2>Scores since the start, against the calibration</h2>
        <p class="note">A tenth of the rows should fall into each part. More on the right: inputs have become stranger.</p>
        <div class="columns"><${Drift} samples=${last.samples} /></div>`}
    </div>`;
}

const upwards = (_, least, most) => [0, Math.max(1, (most ?? 0) * 1.1)];

function Decisions({ samples }) {
  const found = samples.get("masksembles_decisions_total") ?? [];
  const models = [...new Set(found.map(({ labels }) => labels.model))];
  const counts = models.map((model) => ({ model, ...Object.fromEntries(["accept", "defer", "reject"].map((action) => [action, total(samples, "masksembles_decisions_total", { model, action })])) }));
  const seen = counts.filter(({ accept, defer, reject }) => accept + defer + reject);
  if (!seen.length) return html`<p class="note">No row has been decided on yet.</p>`;
  return html`<table class="decisions"><thead><tr><th scope="col">model</th><th scope="col">rows</th><th scope="col">accepted</th><th scope="col">deferred</th><th scope="col">rejected</th></tr></thead>
    <tbody>${seen.map(({ model, accept, defer, reject }) => {
      const all = accept + defer + reject;
      return html`<tr key=${model}><th scope="row"><a href=${`#/card/${encodeURIComponent(model)}`}>${model}</a></th><td>${all}</td>${[accept, defer, reject].map((one) => html`<td>${percent(one / all)}</td>`)}</tr>`;
    })}</tbody></table>`;
}

function Drift({ samples }) {
  const parts = [];
  for (const score of ["entropy", "mutual_information"]) {
    const name = `masksembles_${score}_nats`;
    for (const { labels, value } of samples.get(`${name}_count`) ?? []) {
      if (value) parts.push({ key: `${labels.model} ${labels.head} ${score}`, title: `${labels.model}${labels.head && `, ${labels.head}`}: ${scoreName(score)}`, count: value, parts: buckets(samples, name, { model: labels.model, head: labels.head, version: labels.version }) });
    }
  }
  if (!parts.length) return html`<p class="note">No row has been answered yet.</p>`;
  return parts.map(({ key, title, count, parts: tenths }) => html`
    <section key=${key}><h3>${title} <small>${count} ${count === 1 ? "row" : "rows"}</small></h3>
      <div class="tenths" role="img" aria-label=${`Share of the rows in each tenth of the calibration: ${tenths.map(([, one]) => percent(one / count, 0)).join(", ")}`}>
        ${tenths.map(([bound, one]) => html`<span key=${bound} title=${`up to ${number(bound)}: ${percent(one / count)}`}><span style=${{ height: `${Math.min(100, (100 * one) / count)}%` }}></span></span>`)}
      </div></section>`);
}

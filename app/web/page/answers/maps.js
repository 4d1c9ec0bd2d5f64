// The answer of a dense head: a map over the picture, what each submodel sees, and what it comes to for the whole row.
import { useEffect, useRef, useState } from "preact/hooks";
import { arrays, mapPicture } from "../api.js";
import { paletteOf } from "../colours.js";
import { html } from "../html.js";
import { number, percent, scoreName } from "../format.js";
import { Decision } from "../parts/decision.js";
import { Uncertainty } from "../parts/uncertainty.js";

const PREFERRED = ["prediction", "entropy", "expected_entropy", "mutual_information", "variance", "epistemic_variance"];

/** What a request gave, null until then; why one fails the answer beside it says. */
function useFetched(fetched, needs) {
  const [found, setFound] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    fetched(stop.signal).then(setFound, () => stop.signal.aborted || setFound(null));
    return () => stop.abort();
  }, needs);
  return found;
}

function useUrl(picture) {
  const [url, setUrl] = useState(null);
  useEffect(() => {
    if (!picture) return undefined;
    const made = URL.createObjectURL(picture);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [picture]);
  return url;
}

export function Maps({ head, answer, model, given }) {
  const named = (output) => (head.name ? `${head.name}.${output}` : output);
  const maps = PREFERRED.filter((name) => head.outputs.some((output) => output.name === name || output.name === named(name)));
  const [output, setOutput] = useState(maps.includes("mutual_information") ? "mutual_information" : maps[0]);
  const [opacity, setOpacity] = useState(65);
  const of = [model.name, model.version, given];
  const map = useFetched((signal) => mapPicture(model, given, named(output), { colormap: output === "prediction" ? undefined : "viridis", signal }), [...of, output]);
  const palette = useFetched(async (signal) => paletteOf((await mapPicture(model, given, named("prediction"), { signal })).picture), of);
  const [over, under] = [useUrl(map?.picture), useUrl(Object.values(given).find((one) => one.picture)?.picture)];
  const most = head.task === "classification" ? Math.log(head.labels.length) : Math.LN2;
  const shape = { aspectRatio: `${answer.grid.at(-1)} / ${answer.grid.at(-2) ?? 1}` };

  return html`
    <div class="answer">
      <${Decision} decision=${answer.decision} percentiles=${answer.percentiles} />
      <div class="mapped">
        <div>
          <div class="overlay" style=${shape}>
            ${under && html`<img src=${under} alt="Your picture" />`}
            ${over && html`<img src=${over} alt=${`Map: ${scoreName(output)}`} style=${{ opacity: opacity / 100 }} />`}
          </div>
          <div class="tools" role="group" aria-label="Map">
            ${maps.map((name) => html`<button type="button" key=${name} aria-pressed=${name === output} onClick=${() => setOutput(name)}>${scoreName(name)}</button>`)}
          </div>
          <label class="slider">Map over the picture
            <input type="range" min="0" max="100" value=${opacity} onInput=${(event) => setOpacity(Number(event.target.value))} /></label>
          ${map?.range?.length === 2 && html`<p class="legend"><span>${number(map.range[0])}</span><span class="ramp"></span><span>${number(map.range[1])}${head.task === "regression" ? "" : " nats"}</span></p>`}
        </div>
        ${answer.shares && html`<${Shares} labels=${head.labels} shares=${answer.shares} palette=${head.task === "classification" ? palette : null} />`}
      </div>
      ${head.task === "classification" && palette && html`<${Submodels} ...${{ model, given, named, palette, shape }} />`}
      ${answer.row_prediction && html`<h3>Means over the cells</h3>${head.targets.map((target, d) => html`<p key=${target.name}><b>${number(answer.row_prediction[d])}</b> ${target.name}</p>`)}`}
      <h3>How sure, and why not <small>(mean over the cells)</small></h3>
      <${Uncertainty} scores=${answer.row_scores ?? {}} most=${head.task === "regression" ? null : most} percentiles=${answer.percentiles} quantiles=${head.calibration?.quantiles} />
    </div>`;
}

function Shares({ labels, shares, palette }) {
  const order = labels.map((_, k) => k).filter((k) => shares[k] >= 0.0005).sort((a, b) => shares[b] - shares[a]);
  return html`<div><h3>Share of the picture</h3>
    <ul class="shares">${order.map((k) => html`<li key=${k}><span class="fill" style=${{ width: `${100 * shares[k]}%` }}></span>
      <span>${palette && html`<span class="dot" style=${{ background: `rgb(${palette[k]})` }}></span>`}${labels[k]}</span><b>${percent(shares[k])}</b></li>`)}</ul></div>`;
}

function Submodels({ model, given, named, palette, shape }) {
  const name = named("submodels");
  const found = useFetched((signal) => arrays(model, given, [name], { signal }), [model.name, model.version, given]);
  if (!found) return null;
  const { data, shape: [, count, classes, ...grid] } = found[name];
  const cells = grid.reduce((product, side) => product * side, 1);
  const maps = Array.from({ length: count }, (_, n) => data.subarray(n * classes * cells, (n + 1) * classes * cells));
  if (count === 1 || grid.length !== 2) return null;
  return html`<h3>What each submodel sees</h3>
    <div class="each">${maps.map((values, n) => html`<${Classes} key=${n} ...${{ values, classes, grid, palette, shape }} label=${`Submodel ${n + 1}`} />`)}</div>`;
}

/** The most probable class of every cell, from probabilities [K, H, W]. */
function Classes({ values, classes, grid: [height, width], palette, shape, label }) {
  const canvas = useRef();
  useEffect(() => {
    const context = canvas.current.getContext("2d");
    const image = context.createImageData(width, height);
    const cells = height * width;
    for (let cell = 0; cell < cells; cell++) {
      let best = 0;
      for (let k = 1; k < classes; k++) if (values[k * cells + cell] > values[best * cells + cell]) best = k;
      image.data.set([...palette[best], 255], 4 * cell);
    }
    context.putImageData(image, 0, 0);
  }, [values, palette]);
  return html`<figure><canvas ref=${canvas} width=${width} height=${height} style=${shape} role="img" aria-label=${label}></canvas><figcaption>${label}</figcaption></figure>`;
}

// Two numbers as a point of a plane, over a map of what the model says of every other point.
import { useEffect, useRef, useState } from "preact/hooks";
import { predict } from "../api.js";
import { viridis } from "../colours.js";
import { html } from "../html.js";
import { ENTROPIES, scoreName } from "../format.js";

const SIDE = 30; // SIDE² points fit into one request, and beside others into the queue
const PATIENCE = 100; // ms that a choice must stand before its map is asked for

/** The score of every point of a grid over the plane; null before there is any. */
function usePlane(model, contract, bounds, score) {
  const [map, setMap] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    const [[left, right], [bottom, top]] = bounds;
    const points = Array.from({ length: SIDE * SIDE }, (_, at) => [
      left + (((at % SIDE) + 0.5) / SIDE) * (right - left),
      top - ((Math.floor(at / SIDE) + 0.5) / SIDE) * (top - bottom),
    ]);
    const show = ({ answer }) => setMap({ values: answer.predictions.map((one) => one[score] ?? 0) });
    const look = () => {
      const given = { [contract.inputs[0].name]: { values: points } };
      // where it fails, the answer beside it says why
      predict(model, given, { outputs: ["prediction", score], signal: stop.signal }).then(show, () => setMap(null));
    };
    const timer = setTimeout(look, PATIENCE);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [model.name, model.version, score]);
  return map;
}

/** Bounds of the plane: half as far again as the examples reach. */
function boundsOf(input, examples) {
  if (input.channel_ranges) return input.channel_ranges;
  const points = examples?.points ?? [];
  return [0, 1].map((axis) => {
    const values = points.map(({ values: point }) => point[axis]);
    if (!values.length) return input.range ?? [-3, 3];
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const margin = (most - least) / 2;
    return [least - margin, most + margin];
  });
}

/** A point far from the training data, where submodels should disagree. */
const farOut = ([[left, right], [bottom, top]]) => [left + 0.9 * (right - left), (bottom + top) / 2].map((value) => Number(value.toFixed(1)));

export function Plane({ contract, input, examples, give, model }) {
  const canvas = useRef();
  const bounds = boundsOf(input, examples);
  const [point, setPoint] = useState(() => farOut(bounds));
  const [score, setScore] = useState("mutual_information");
  const map = usePlane(model, contract, bounds, score);

  useEffect(() => give({ values: [point] }), [contract, point.join()]);
  useEffect(() => {
    if (map) paint(canvas.current, map);
  }, [map]);

  const [[left, right], [bottom, top]] = bounds;
  const x = (value) => `${(100 * (value - left)) / (right - left)}%`;
  const y = (value) => `${(100 * (top - value)) / (top - bottom)}%`;
  const click = (event) => {
    if (event.buttons === 0 && event.type === "pointermove") return;
    const box = canvas.current.getBoundingClientRect();
    const to = [left + ((event.clientX - box.left) / box.width) * (right - left), top - ((event.clientY - box.top) / box.height) * (top - bottom)];
    setPoint(to.map((value) => Number(value.toFixed(2))));
  };
  const set = (axis, value) => Number.isFinite(Number(value)) && value !== "" && setPoint(point.map((old, at) => (at === axis ? Number(value) : old)));
  const names = input.features ?? ["x", "y"];
  const labels = contract.heads[0].labels;

  return html`
    <div class="plane">
      <div class="frame" onPointerDown=${click} onPointerMove=${click}>
        <canvas ref=${canvas} width=${SIDE} height=${SIDE} role="img" aria-label=${`${scoreName(score)} over the plane of ${names.join(" and ")}`}></canvas>
        <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
          ${(examples?.points ?? []).map(({ values, label }) => html`<circle class=${`class${labels.indexOf(label)}`} cx=${x(values[0])} cy=${y(values[1])} r="0.7" />`)}
        </svg>
        <span class="point" style=${{ left: x(point[0]), top: y(point[1]) }}></span>
      </div>
      <div class="tools">
        ${ENTROPIES.map((one) => html`<button type="button" key=${one} aria-pressed=${score === one}
          onClick=${() => setScore(one)}>${scoreName(one)}</button>`)}
      </div>
      <div class="features">
        ${names.map((name, axis) => html`<label key=${name}>${name}
          <input type="number" step="0.1" value=${point[axis]} onInput=${(event) => set(axis, event.target.value)} /></label>`)}
      </div>
      <p class="note">Click into the plane. Bright is high; dots are training data, which reach over the middle half.</p>
    </div>`;
}

function paint(canvas, { values }) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(SIDE, SIDE);
  const most = Math.max(Math.LN2 / 4, ...values); // noise of a small map must not fill the scale
  values.forEach((value, at) => image.data.set([...viridis(Math.max(0, value) / most), 255], 4 * at));
  context.putImageData(image, 0, 0);
}

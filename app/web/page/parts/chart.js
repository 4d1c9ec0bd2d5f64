// A line chart by uPlot, in the page's colours, as wide as its place; for those who cannot see it, a sentence.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { colour } from "../colours.js";
import { html } from "../html.js";

/**
 * `columns` are uPlot's: x, then a column for each of `lines`, which are { label, colour (a custom property), dashed,
 * points }. `x` and `y` are { label, range, time, values }.
 */
export function Chart({ columns, lines, x, y, summary, height = 220 }) {
  const place = useRef();
  const plot = useRef();
  useEffect(() => {
    const here = place.current; // the observer may still look once when the ref is empty
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(settings({ lines, x, y, height, width: here.clientWidth }), columns, here);
    };
    draw();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    const size = new ResizeObserver(() => plot.current?.setSize({ width: here.clientWidth, height }));
    size.observe(here);
    return () => {
      dark.removeEventListener("change", draw);
      size.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [lines.map((line) => line.label).join()]);
  useEffect(() => plot.current?.setData(columns), [columns]);
  return html`<div class="chart" role="img" aria-label=${summary} ref=${place}></div>`;
}

function settings({ lines, x, y, width, height }) {
  const ink = colour("--quiet");
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = (one) => ({ label: one.label, stroke: ink, grid, ticks: grid, labelSize: 18, size: 44, font: "12px system-ui", labelFont: "12px system-ui", values: one.values });
  return {
    width,
    height,
    scales: { x: { time: Boolean(x.time), range: x.range }, y: { range: y.range } },
    axes: [{ ...axis(x), size: x.time ? 52 : 34 }, axis(y)],
    cursor: { drag: { x: false, y: false } },
    series: [
      { label: x.label },
      ...lines.map((line) => ({
        label: line.label,
        stroke: colour(line.colour),
        width: 2,
        dash: line.dashed ? [4, 4] : undefined,
        points: { show: Boolean(line.points), size: 6, fill: colour(line.colour) },
        value: (_, value) => (value === null || value === undefined ? "–" : `${+value.toPrecision(3)}`),
      })),
    ],
  };
}

// A row of numbers, one field for each feature.
import { useEffect, useState } from "preact/hooks";
import { html } from "../html.js";

export function Row({ contract, input, examples, give }) {
  const rows = examples?.rows ?? [];
  const count = input.shape[1];
  const [values, setValues] = useState(rows[0]?.values ?? Array(count).fill(0));
  const numbers = values.map(Number);
  const valid = values.every((value) => `${value}`.trim() !== "" && Number.isFinite(Number(value)));

  useEffect(() => {
    give(valid ? { values: [numbers] } : null);
  }, [contract, numbers.join(), valid]);

  const set = (at, value) => setValues(values.map((old, index) => (index === at ? value : old)));
  return html`
    <div class="row">
      ${rows.length > 0 && html`<div class="examples words" role="group" aria-label="Examples">
        ${rows.map((one) => html`<button type="button" key=${one.name} aria-pressed=${one.values.join() === numbers.join()}
          onClick=${() => setValues(one.values)}>${one.name}</button>`)}
      </div>`}
      <div class="features">
        ${values.map((value, at) => {
          const [least, most] = input.channel_ranges?.[at] ?? input.range ?? [];
          return html`<label key=${at}>${input.features?.[at] ?? `feature ${at + 1}`}
            <input type="number" step="any" min=${least} max=${most} value=${value} onInput=${(event) => set(at, event.target.value)} />
          </label>`;
        })}
      </div>
      <p class="note">${input.unit}</p>
    </div>`;
}

// Anything else: the values as JSON.
import { useEffect, useState } from "preact/hooks";
import { html } from "../html.js";

/** A row of zeros, or of the smallest allowed values. */
function blank(contract, input) {
  const least = input.range?.[0] ?? 0;
  const [, ...sides] = input.shape.map((side) => (typeof side === "string" ? contract.axes[side]?.least ?? 1 : side));
  return [sides.reduceRight((inner, side) => Array(side).fill(inner), least)];
}

function parse(text) {
  try {
    const values = JSON.parse(text);
    return Array.isArray(values) ? { values } : { problem: "expected an array with one row" };
  } catch (error) {
    return { problem: error.message };
  }
}

export function Json({ contract, input, give }) {
  const [text, setText] = useState(() => JSON.stringify(blank(contract, input)));
  const { values, problem } = parse(text);
  useEffect(() => give(values ? { values } : null), [contract, text]);
  return html`
    <div class="json">
      <label>${input.name}: ${input.dtype} [${input.shape.join(", ")}]${input.unit ? `, ${input.unit}` : ""}
        <textarea rows="8" spellcheck=${false} aria-invalid=${Boolean(problem)} onInput=${(event) => setText(event.target.value)}>${text}</textarea>
      </label>
      <p class="note" aria-live="polite">${problem ?? ""}</p>
    </div>`;
}

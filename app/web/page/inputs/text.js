// A text, whose letters become ids by the contract's symbols.
import { useEffect, useState } from "preact/hooks";
import { idsOf } from "../contract.js";
import { html } from "../html.js";

export function Text({ contract, input, examples, give }) {
  const texts = examples?.texts ?? [];
  const [text, setText] = useState(texts[0]?.text ?? "");
  const axis = contract.axes[input.shape[1]];
  const most = axis?.most ?? input.shape[1];
  const words = text.trim();

  useEffect(() => {
    give([...words].length >= (axis?.least ?? 1) ? { values: idsOf(contract, input, words) } : null);
  }, [contract, words]);

  return html`
    <div class="text">
      <label>${input.unit ? `Text (each ${input.unit.replace(/^id of an? /, "")} becomes an id)` : "Text"}
        <input type="text" value=${text} maxlength=${most} autocomplete="off" autocapitalize="off" spellcheck=${false}
          onInput=${(event) => setText(event.target.value)} />
      </label>
      <p class="note">At most ${most} letters.</p>
      ${texts.length > 0 && html`<div class="examples words" role="group" aria-label="Examples">
        ${texts.map((one) => html`<button type="button" key=${one.text} title=${one.name} aria-pressed=${one.text === text}
          onClick=${() => setText(one.text)}>${one.text}</button>`)}
      </div>`}
    </div>`;
}

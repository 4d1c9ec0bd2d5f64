// Asks for an API key; it stays in this tab.
import { useState } from "preact/hooks";
import { html } from "../html.js";

export function KeyDialog({ refused, done }) {
  const [value, setValue] = useState("");
  const submit = (event) => {
    event.preventDefault();
    done(value.trim());
  };
  return html`
    <form class="key" onSubmit=${submit}>
      <h1>An API key, please</h1>
      <p>This service answers those who have one. The page keeps it for this tab only.</p>
      ${refused && html`<p class="problem" role="alert">${refused}</p>`}
      <label>API key <input type="password" autocomplete="off" required value=${value} onInput=${(event) => setValue(event.target.value)} /></label>
      <button type="submit">Go on</button>
    </form>`;
}

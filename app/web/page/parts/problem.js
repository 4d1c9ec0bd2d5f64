// Why there is no answer.
import { html } from "../html.js";

export function Problem({ error }) {
  return html`<div class="problem" role="alert"><strong>${error.code ?? "no answer"}</strong> ${error.message}${error.field ? html` <code>${error.field}</code>` : ""}</div>`;
}

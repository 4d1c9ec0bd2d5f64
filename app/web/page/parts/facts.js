// A list of facts; those that are absent are left out.
import { html } from "../html.js";

const there = (value) => value !== null && value !== undefined && value !== "" && !(Array.isArray(value) && !value.length);

export function Facts({ facts }) {
  return html`<dl class="facts">${Object.entries(facts).filter(([, value]) => there(value)).map(([name, value]) => html`
    <div key=${name}><dt>${name}</dt>${[value].flat().map((one) => html`<dd key=${one}>${one}</dd>`)}</div>`)}</dl>`;
}

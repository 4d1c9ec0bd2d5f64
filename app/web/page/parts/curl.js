// The same request for a terminal.
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { key } from "../api.js";

const LONGEST = 400; // characters of values; longer ones go into a file

export function Curl({ model, given }) {
  const [copied, setCopied] = useState(false);
  const text = command(model, given);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return html`
    <details class="curl"><summary>The same from a terminal</summary>
      <pre tabindex="0">${text}</pre>
      ${navigator.clipboard && html`<button type="button" onClick=${copy}>${copied ? "Copied" : "Copy"}</button>`}
    </details>`;
}

function command(model, given) {
  const url = new URL("predict", document.baseURI).href;
  const header = key.get() ? ' -H "X-API-Key: $KEY"' : "";
  const inputs = Object.entries(given);
  const version = `model=${model.name}&version=${model.version}`;
  if (inputs.length === 1 && inputs[0][1].picture) {
    return `curl '${url}?${version}'${header} \\\n  -H 'Content-Type: image/png' --data-binary @picture.png`;
  }
  if (inputs.some(([, one]) => one.picture)) {
    const parts = inputs.map(([name, one]) => `-F '${name}=@${name}.${one.picture ? "png;type=image/png" : "json;type=application/json"}'`).join(" ");
    return `curl ${url}${header} -F model=${model.name} -F version=${model.version} ${parts}`;
  }
  const values = Object.fromEntries(inputs.map(([name, one]) => [name, one.values]));
  const body = JSON.stringify({ model: model.name, version: model.version, inputs: values });
  return body.length > LONGEST ? `curl ${url}${header} --json @request.json` : `curl ${url}${header} --json '${body}'`;
}

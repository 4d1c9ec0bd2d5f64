// What a person does on the page at /docs to send an example.
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * The operations of an OpenAPI document, each with the examples of its body: content type, name and Example Object, or
 * one of nothing where there is no body. At the end those that take a model away, then those that bring it back.
 */
export function operations(document) {
  const found = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  const rank = ({ operationId }) => (operationId.includes("unload") ? 1 : operationId.includes("load") ? 2 : 0);
  found.sort((one, other) => rank(one) - rank(other));
  return found.map((operation) => {
    const content = Object.entries(operation.requestBody?.content ?? {});
    const examples = content.flatMap(([type, { example, examples }]) =>
      Object.entries(examples ?? { "": { value: example } }).map(([name, body]) => ({ type, name, body })),
    );
    return { operation, examples: examples.length ? examples : [{}] };
  });
}

/** Does something with an operation that is open to be tried out, and folds it away again: open ones slow the page down. */
export async function tryOut(page, operation, act) {
  const block = page.locator(`[id="operations-${operation.tags[0].replaceAll(" ", "_")}-${operation.operationId}"]`);
  await block.locator(".opblock-summary-control").click();
  const toTry = block.locator(".try-out__btn");
  if ((await toTry.textContent()).includes("Try")) await toTry.click(); // it stays on
  await act(block);
  await block.locator(".opblock-summary-control").click();
}

/**
 * Chooses content type, example and files as the document says, and answers what came back.
 *
 * @param block of tryOut()
 * @param operation of the document
 * @param example of operations()
 * @param {string} [accept] the content type to choose for the answer
 * @returns {Promise<{status: number, type: string}>}
 */
export async function execute(page, block, operation, { type, name, body }, accept) {
  if (type) await block.locator(".opblock-section-request-body .opblock-section-header select").selectOption(type);
  for (const parameter of operation.parameters ?? []) {
    if (!parameter.examples || parameter.required) continue; // a required one is filled in
    const chosen = name in parameter.examples ? name : Object.keys(parameter.examples)[0];
    const row = block.locator(`tr[data-param-name="${parameter.name}"]`);
    await row.locator("select.examples-select-element").selectOption(chosen);
  }
  if (operation.requestBody?.content[type]?.examples && type === "application/json") {
    await block.locator(".opblock-section-request-body select.examples-select-element").selectOption(name);
  }
  await attach(page, block, links(type, body));
  if (accept) await block.locator('tr.response[data-code="200"] .response-controls select.content-type').selectOption(accept);
  const answered = page.waitForResponse((response) => !["document", "script"].includes(response.request().resourceType()));
  await block.getByRole("button", { name: "Execute" }).click();
  const response = await answered;
  await block.locator(".live-responses-table .response-col_status", { hasText: String(response.status()) }).first().waitFor();
  return { status: response.status(), type: (response.headers()["content-type"] ?? "").split(";")[0] };
}

/** The files of an example, by their addresses. */
function links(type, body) {
  if (type === "multipart/form-data") return body.value.inputs;
  const link = body?.description?.match(/\((.*)\)/)?.[1];
  return link ? [link] : [];
}

async function attach(page, block, addresses) {
  if (!addresses.length) return;
  const folder = await mkdtemp(join(tmpdir(), "docs-"));
  for (const [at, address] of addresses.entries()) {
    const path = join(folder, address.split("/").pop());
    const file = await page.request.get(`/${address}`);
    await writeFile(path, await file.body());
    const choosers = block.locator("input[type=file]");
    if (at >= (await choosers.count())) await block.getByRole("button", { name: /Add/ }).click();
    await choosers.nth(at).setInputFiles(path);
  }
}

// The page at /docs in a browser without a network: it shows and sends every example, with keys and without.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { test } from "node:test";
import { faults } from "./axe.js";
import { browser, running, service } from "./running.js";
import { screenshot } from "./screenshot.js";
import { startService } from "./service.js";
import { execute, operations, tryOut } from "./swagger.js";
import { SIZES, visit } from "./visit.js";

const KEY = "a-key-of-these-tests-alone";
const KEYS = `page:predict:${createHash("sha256").update(KEY).digest("hex")}`;

let document;
running({ MASKSEMBLES_ENABLE_ADMIN: "true" }, async () => {
  document = await (await fetch(`${service.url}/openapi.json`)).json();
});

async function open(page) {
  await page.goto("/docs");
  await page.locator(".opblock").first().waitFor();
}

/** Sends one example of an operation, and looks at what the page then shows. */
async function send(page, id, name, accept, look = () => {}) {
  const { operation, examples } = operations(document).find((one) => one.operation.operationId === id);
  let found;
  await tryOut(page, operation, async (block) => {
    found = await execute(page, block, operation, examples.find((one) => !name || one.name === name), accept);
    await look(block.locator(".live-responses-table"));
  });
  return found;
}

for (const [size, context] of Object.entries(SIZES)) {
  const look = async (page) => {
    await open(page);
    assert.equal(await page.locator(".opblock").count(), operations(document).length);
    await screenshot(page, `docs-${size}`);
  };
  test(`every operation is shown, ${size}`, () => visit(browser, service, look, { context }));
}

test("what is ours of the page has a title, a language and a heading", () =>
  visit(browser, service, async (page) => {
    await open(page);
    assert.deepEqual(await faults(page, { exclude: ["#swagger-ui > *"] }), []);
    assert.equal(await page.title(), "Masksembles service");
    assert.equal(await page.locator("html").getAttribute("lang"), "en");
    assert.equal(await page.getByRole("heading", { name: "Masksembles service" }).count(), 1);
  }));

test("behind a proxy with a prefix, requests go through it", async () => {
  const asked = [];
  const proxy = createServer((came, answer) => {
    asked.push(came.url);
    const onward = { method: came.method, headers: came.headers };
    came.pipe(request(`${service.url}${came.url.replace(/^\/prefix/, "")}`, onward, (found) => {
      answer.writeHead(found.statusCode, found.headers);
      found.pipe(answer);
    }));
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const behind = { url: `http://127.0.0.1:${proxy.address().port}` };
  try {
    await visit(browser, behind, async (page) => {
      await page.goto("/prefix/docs");
      await page.locator("#operations-health-live .opblock-summary").click();
      await page.getByRole("button", { name: "Try it out" }).click();
      await page.getByRole("button", { name: "Execute" }).click();
      await page.locator(".request-url").getByText(`${behind.url}/prefix/health/live`).waitFor();
    });
    assert.deepEqual(asked.filter((path) => !path.startsWith("/prefix/")), []);
  } finally {
    proxy.close();
  }
});

test("every example is answered", () =>
  visit(browser, service, async (page) => {
    await open(page);
    for (const { operation, examples } of operations(document)) {
      if (operation.operationId === "send_feedback") continue; // only who signed a receipt takes it, and not for ever
      await tryOut(page, operation, async (block) => {
        for (const example of examples) {
          const { status } = await execute(page, block, operation, example);
          assert.equal(status, 200, `${operation.operationId} ${example.type} ${example.name}`);
        }
      });
    }
  }));

test("a map is shown as a picture", () =>
  visit(browser, service, async (page) => {
    await open(page);
    const found = await send(page, "predict", "scene", "image/png", async (answer) => {
      const picture = answer.locator("img");
      await picture.waitFor();
      await page.waitForFunction((element) => element.complete, await picture.elementHandle());
      assert.ok(await picture.evaluate((element) => element.naturalWidth > 0));
      await screenshot(page, "docs-map");
    });
    assert.deepEqual(found, { status: 200, type: "image/png" });
  }));

for (const [id, name, type] of [
  ["predict", "coat", "application/x-npz"],
  ["v2_infer", "bytes_back", "application/octet-stream"],
]) {
  test(`an answer in ${type} is a file to keep`, () =>
    visit(browser, service, async (page) => {
      await open(page);
      const found = await send(page, id, name, type, (answer) => answer.getByRole("link", { name: /Download/ }).waitFor());
      assert.deepEqual(found, { status: 200, type });
    }));
}

test("each scheme of keys is taken", async (t) => {
  const guarded = await startService({ MASKSEMBLES_KEYS: KEYS });
  try {
    for (const scheme of Object.keys(document.components.securitySchemes)) {
      const authorize = async (page) => {
        await open(page);
        assert.equal((await send(page, "list_models")).status, 401);
        await page.getByRole("button", { name: "Authorize" }).click();
        const form = page.locator(".auth-container", { has: page.getByRole("heading", { name: scheme }) });
        await form.getByRole("textbox").fill(KEY);
        await form.getByRole("button", { name: "Apply credentials" }).click();
        await form.getByRole("button", { name: "Close" }).click();
        assert.equal((await send(page, "list_models")).status, 200);
      };
      await t.test(scheme, () => visit(browser, guarded, authorize, { expected: /status of 401/ }));
    }
  } finally {
    await guarded.stop();
  }
});

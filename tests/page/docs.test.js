// The page at /docs in a browser without a network.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./chromium.js";
import { screenshot } from "./screenshot.js";
import { startService } from "./service.js";
import { SIZES, visit } from "./visit.js";

let browser, service;
before(async () => {
  browser = await launch();
  service = await startService();
});
after(async () => {
  await browser?.close();
  await service?.stop();
});

test("a missing browser is named, with what installs it", async () => {
  await assert.rejects(launch("/no/chromium"), /There is no \/no\/chromium.*apt-get install chromium/);
});

for (const [size, context] of Object.entries(SIZES)) {
  test(`every operation is shown, ${size}`, () =>
    visit(
      browser,
      service,
      async (page) => {
        const document = await (await fetch(`${service.url}/openapi.json`)).json();
        const operations = Object.values(document.paths).flatMap((methods) => Object.keys(methods));
        await page.goto("/docs");
        await page.locator(".opblock").first().waitFor();
        assert.equal(await page.locator(".opblock").count(), operations.length);
        await screenshot(page, `docs-${size}`);
      },
      { context },
    ));
}

// A visit fails when something goes wrong in the browser, whatever the test itself looks at.
import assert from "node:assert/strict";
import { test } from "node:test";
import { launch } from "./chromium.js";
import { browser, running, service } from "./running.js";
import { visit } from "./visit.js";

running();

test("a missing browser is named, with what installs it", async () => {
  await assert.rejects(launch("/no/chromium"), /There is no \/no\/chromium.*apt-get install chromium/);
});

const FAULTS = {
  "another origin": ["request", () => (location.href = "http://a.example/")],
  "content security policy": ["console", () => fetch("http://a.example/").catch(() => {})],
  "an uncaught error": ["pageerror", () => setTimeout(() => { throw new Error("an uncaught error"); })],
  "said on the console": ["console", () => console.error("said on the console")],
  "status of 404": ["console", () => fetch("/nowhere")],
};
for (const [said, [event, fault]] of Object.entries(FAULTS)) {
  const act = async (page) => {
    await page.goto("/docs");
    await page.locator(".opblock").first().waitFor(); // nothing of its own is to come any more
    await Promise.all([page.waitForEvent(event), page.evaluate(fault)]);
  };
  test(`noticed: ${said}`, () => assert.rejects(visit(browser, service, act), new RegExp(said, "i")));
}

test("what a test expects is no fault", () =>
  visit(browser, service, (page) => page.goto("/nowhere"), { expected: /status of 404/ }));

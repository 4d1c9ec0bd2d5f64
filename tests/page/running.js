// The browser and the service that the tests of one file share.
import { after, before } from "node:test";
import { launch } from "./chromium.js";
import { startService } from "./service.js";

export let browser, service;

/** Starts both before the first test of a file, and ends them after its last; `settings` are environment variables. */
export function running(settings) {
  before(async () => {
    browser = await launch();
    service = await startService(settings);
  });
  after(async () => {
    await browser?.close();
    await service?.stop();
  });
}

// The browser and the service that the tests of one file share.
import { after, before } from "node:test";
import { launch } from "./chromium.js";
import { startService } from "./service.js";

export let browser, service;

/**
 * Starts both before the first test of a file, and ends them after its last.
 *
 * @param {Record<string, string>} [settings] environment variables of the service
 * @param {() => Promise<void>} [then] what else to do before the first test; Node does not wait between two hooks
 */
export function running(settings, then) {
  before(async () => {
    browser = await launch();
    service = await startService(settings);
    await then?.();
  });
  after(async () => {
    await browser?.close();
    await service?.stop();
  });
}

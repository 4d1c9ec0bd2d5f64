// A real browser that finds no name: what a page asks of the network beyond this machine fails.
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PATH = "/usr/bin/chromium"; // Debian's

/**
 * Starts the browser.
 *
 * @throws Error that says what to install, if there is none
 */
export async function launch(path = PATH) {
  if (!existsSync(path)) throw new Error(`There is no ${path}: make test-page needs it (apt-get install chromium).`);
  return chromium.launch({ executablePath: path, args: ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"] });
}

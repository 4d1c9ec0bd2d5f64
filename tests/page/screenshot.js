// Pictures of pages for people to look at: `SCREENSHOTS=folder make test-page`.
import { join } from "node:path";

/** Writes what the page shows as NAME.png into the folder that SCREENSHOTS names; without it, does nothing. */
export async function screenshot(page, name, options = {}) {
  const folder = process.env.SCREENSHOTS;
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`), animations: "disabled", ...options });
}

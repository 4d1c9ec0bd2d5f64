// What axe-core finds wrong with a page for people who do not see it, or do not see it well.
import axe from "axe-core";

/**
 * The rules that a page breaks, each with the elements that break it.
 *
 * @param {import("playwright-core").Page} page
 * @param {{include?: string[], exclude?: string[]}} where CSS selectors; by default the whole page
 * @returns {Promise<{rule: string, help: string, at: string[]}[]>} empty if there is nothing wrong
 */
export async function faults(page, { include = ["html"], exclude = [] } = {}) {
  await page.evaluate(axe.source); // not a script element, which the content security policy forbids
  const { violations } = await page.evaluate((where) => window.axe.run(where), { include, exclude });
  return violations.map(({ id, help, nodes }) => ({ rule: id, help, at: nodes.map((node) => node.target.join(" ")) }));
}

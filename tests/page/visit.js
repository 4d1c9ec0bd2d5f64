// A visit to the service in a browser, in which nothing may go wrong unnoticed.
import assert from "node:assert/strict";

const PATIENCE = 60_000; // ms: a model may have to be loaded first, beside other work

export const SIZES = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
};

const reportViolations = () =>
  document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`content security policy: ${event.effectiveDirective} ${event.blockedURI}`),
  );

/**
 * Opens a page in a context of its own, lets a test do what it wants with it, and closes it.
 *
 * Fails if the page asked another origin for anything, or if the browser reported an error: on the console, uncaught,
 * or against the content security policy.
 *
 * @param browser of chromium.js
 * @param {{url: string}} service of service.js
 * @param {(page: import("playwright-core").Page, requests: import("playwright-core").Request[]) => Promise<void>} act
 *   gets the page, still empty, whose relative addresses are the service's, and all requests so far
 * @param {{expected?: RegExp, context?: object}} options `expected`: errors that the test provokes, such as
 *   `/status of 401/`; `context`: options of playwright's newContext, such as SIZES.phone or `{colorScheme: "dark"}`
 */
export async function visit(browser, service, act, { expected, context: options } = {}) {
  const context = await browser.newContext({ baseURL: service.url, ...SIZES.desktop, ...options });
  context.setDefaultTimeout(PATIENCE);
  const requests = [];
  const errors = [];
  context.on("request", (request) => requests.push(request));
  context.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  context.on("weberror", (error) => errors.push(String(error.error())));
  await context.addInitScript(reportViolations);
  try {
    await act(await context.newPage(), requests);
    const elsewhere = requests.map((request) => request.url()).filter((url) => !isFrom(service.url, url));
    assert.deepEqual(elsewhere, [], "the page asked another origin");
    assert.deepEqual(errors.filter((text) => !expected?.test(text)), [], "the browser reported errors");
  } finally {
    await context.close();
  }
}

function isFrom(origin, url) {
  return url.startsWith("data:") || new URL(url).origin === origin; // a blob's origin is its page's
}

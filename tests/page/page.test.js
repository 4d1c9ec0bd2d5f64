// The page at / in a browser without a network, used as people use it.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { faults } from "./axe.js";
import { browser, running, service } from "./running.js";
import { screenshot } from "./screenshot.js";
import { ROOT, startService } from "./service.js";
import { SIZES, visit } from "./visit.js";

running();

const headline = (page) => page.locator(".answer .headline").first();
const open = async (page, view) => {
  await page.goto(`/#/${view}`);
  await page.locator(".answer").first().waitFor();
};
const drag = async (page, points) => {
  const box = await page.locator(".frame canvas").boundingBox();
  const [first, ...rest] = points.map(([x, y]) => [box.x + x * box.width, box.y + y * box.height]);
  await page.mouse.move(...first);
  await page.mouse.down();
  for (const point of rest) await page.mouse.move(...point, { steps: 8 });
  await page.mouse.up();
};

describe("what a newcomer sees", () => {
  for (const [size, context] of Object.entries(SIZES)) {
    for (const colorScheme of ["light", "dark"]) {
      test(`an answer with its doubt, ${size}, ${colorScheme}`, () =>
        visit(
          browser,
          service,
          async (page) => {
            await page.goto("/");
            await headline(page).getByText("bag").waitFor();
            await page.getByText("Let somebody look at it").waitFor();
            assert.equal(await page.locator(".matrix tbody tr").count(), 6);
            assert.equal(await page.locator(".matrix thead th").count(), 5); // mean, four submodels
            const overflows = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
            assert.equal(overflows, false, "the page is wider than its window");
            await screenshot(page, `page-${size}-${colorScheme}`);
          },
          { context: { ...context, colorScheme } },
        ));
    }
  }
});

describe("each view can be read by everybody", () => {
  for (const view of ["try/fashion-mnist", "try/scenes", "try/languages", "try/diabetes", "path/sinusoids-s2", "path/fashion-mnist", "card/fashion-mnist", "card/diabetes", "live"]) {
    for (const colorScheme of ["light", "dark"]) {
      test(`${view}, ${colorScheme}`, () =>
        visit(
          browser,
          service,
          async (page) => {
            await page.goto(`/#/${view}`);
            await page.locator(".answer, .card, .costs").first().waitFor();
            await page.waitForLoadState("networkidle");
            assert.deepEqual(await faults(page), []);
            await screenshot(page, `${view.replaceAll("/", "-")}-${colorScheme}`);
          },
          { context: { colorScheme } },
        ));
    }
  }
});

test("a digit that is drawn is read", () =>
  visit(browser, service, async (page, requests) => {
    await open(page, "try/digits");
    await page.getByRole("button", { name: "Clear" }).click();
    await drag(page, [[0.5, 0.05], [0.5, 0.95]]);
    await headline(page).getByText("1", { exact: true }).waitFor();
    const sent = requests.filter((request) => request.url().includes("/predict"));
    assert.ok(sent.every((request) => request.headers()["content-type"] === "image/png"));
    await page.getByRole("button", { name: "Clear" }).click();
    await drag(page, [[0.5, 0.08], [0.2, 0.3], [0.2, 0.7], [0.5, 0.92], [0.8, 0.7], [0.8, 0.3], [0.5, 0.08]]);
    await headline(page).getByText("0", { exact: true }).waitFor();
  }));

test("a keyboard draws as well", () =>
  visit(browser, service, async (page) => {
    await open(page, "try/digits");
    await page.getByRole("button", { name: "Clear" }).click();
    await page.locator(".frame canvas").focus();
    for (let at = 0; at < 4; at++) await page.keyboard.press("ArrowUp");
    for (let at = 0; at < 8; at++) await page.keyboard.press("Shift+ArrowDown");
    await headline(page).getByText("1", { exact: true }).waitFor();
  }));

test("a picture is dropped, opened or pasted, and its pixels arrive as they are", () =>
  visit(browser, service, async (page) => {
    await open(page, "try/fashion-mnist");
    const coat = [...(await readFile(`${ROOT}/tests/data/coat.png`))];
    const expected = await answerTo(service, "tests/data/coat.png");
    await page.evaluate((bytes) => {
      const carried = new DataTransfer();
      carried.items.add(new File([new Uint8Array(bytes)], "coat.png", { type: "image/png" }));
      document.querySelector(".picture").dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
    }, coat);
    await headline(page).getByText(expected).waitFor();
    await page.getByText("coat.png, 28 × 28 pixels").waitFor();

    await page.getByRole("button", { name: "Clear" }).click();
    await headline(page).getByText(expected).waitFor({ state: "detached" });
    await page.locator("input[type=file]").setInputFiles(`${ROOT}/tests/data/coat.png`);
    await headline(page).getByText(expected).waitFor();

    await page.getByRole("button", { name: "Clear" }).click();
    await headline(page).getByText(expected).waitFor({ state: "detached" });
    await page.evaluate((bytes) => {
      const carried = new DataTransfer();
      carried.items.add(new File([new Uint8Array(bytes)], "coat.png", { type: "image/png" }));
      document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carried, bubbles: true }));
    }, coat);
    await headline(page).getByText(expected).waitFor();

    await page.locator("input[type=file]").setInputFiles(`${ROOT}/README.md`);
    await page.getByText("README.md is not a picture").waitFor();
  }));

/** The confidence that the service gives a picture file, as the page shows it. */
async function answerTo(service, file) {
  const body = await readFile(`${ROOT}/${file}`);
  const response = await fetch(`${service.url}/predict?model=fashion-mnist`, { method: "POST", headers: { "Content-Type": "image/png" }, body });
  const { label, confidence } = (await response.json()).predictions[0];
  return `${label} ${(100 * confidence).toFixed(1)} %`;
}

test("a map lies over the picture, and every submodel shows its own", () =>
  visit(browser, service, async (page) => {
    await open(page, "try/scenes");
    const over = page.locator(".overlay img").nth(1);
    await over.waitFor();
    const mutual = await digest(over);
    await page.getByRole("button", { name: "entropy", exact: true }).click();
    await page.waitForFunction((old) => document.querySelectorAll(".overlay img")[1]?.src !== old, await over.getAttribute("src"));
    assert.notEqual(await digest(over), mutual);
    await page.getByLabel("Map over the picture").fill("20");
    assert.equal(await over.evaluate((image) => image.style.opacity), "0.2");
    assert.equal(await page.locator(".each canvas").count(), 4);
    await page.getByRole("button", { name: /with digits/ }).click();
    await page.getByText(/scene 3 with digits.*96 × 64 pixels/).waitFor();
  }));

/** Of the pixels; a page may not fetch blobs under its policy. */
async function digest(image) {
  const pixels = await image.evaluate((one) => {
    const canvas = new OffscreenCanvas(one.naturalWidth, one.naturalHeight);
    canvas.getContext("2d").drawImage(one, 0, 0);
    return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
  });
  return createHash("sha256").update(Buffer.from(pixels)).digest("hex");
}

test("texts, rows and points are answered, and what is no number is not sent", () =>
  visit(browser, service, async (page, requests) => {
    await open(page, "try/languages");
    await page.getByLabel(/^Text/).fill("Donaudampfschiff");
    await headline(page).getByText("german").waitFor();
    const { inputs } = requests.filter((request) => request.url().endsWith("/predict")).at(-1).postDataJSON();
    assert.equal(inputs.input[0].length, "donaudampfschiff".length);
    assert.equal(inputs.input[0][0], "abcdefghijklmnopqrstuvwxyz".indexOf("d") + 2);

    await open(page, "try/diabetes");
    const before = await headline(page).textContent();
    await page.getByLabel("body mass index").fill("40");
    await page.waitForFunction((old) => document.querySelector(".headline").textContent !== old, before);
    const count = requests.length;
    await page.getByLabel("body mass index").fill("");
    await page.waitForTimeout(300);
    assert.equal(requests.length, count);

    await open(page, "try/sinusoids-s2");
    await page.locator(".plane .frame").click({ position: { x: 10, y: 10 } });
    await page.waitForFunction(() => document.querySelectorAll(".plane input")[0].value < -8);
  }));

test("the slider takes one input from a single network to an ensemble", () =>
  visit(browser, service, async (page) => {
    await open(page, "path/sinusoids-s2");
    const slider = page.getByRole("slider", { name: "Method" });
    const titles = [];
    for (let at = 0; at < 6; at++) {
      await slider.fill(String(at));
      titles.push(await page.locator("#says-title").textContent());
      await page.locator(".answer").waitFor();
    }
    assert.deepEqual(
      titles.map((title) => title.replace(/ sinusoids.*$/, "")),
      ["Single network", "Masksembles, S = 1.1", "Masksembles, S = 2", "Masksembles, S = 3", "Masksembles, S = 10", "Deep ensemble"],
    );
    assert.match(await page.locator(".costs").first().textContent(), /4\.00 ×/);
    const labels = await page.locator(".bars button").evaluateAll((all) => all.map((one) => one.getAttribute("aria-label")));
    assert.ok(labels.every((label) => /mutual information [\d.]/.test(label)), labels.join("; "));
    assert.match(labels[0], /mutual information 0 nats/); // one network does not disagree with itself
  }));

test("what was drawn stays while the slider moves, and with another model that answers the same", () =>
  visit(browser, service, async (page) => {
    await open(page, "path/fashion-mnist");
    await page.getByText("a bag that is hard to tell").waitFor();
    await page.getByRole("button", { name: "Clear" }).click();
    await drag(page, [[0.5, 0.05], [0.5, 0.95]]);
    const drawn = await page.locator(".frame canvas").evaluate((canvas) => canvas.toDataURL());
    await page.getByRole("slider", { name: "Method" }).fill("0");
    await page.locator("#says-title").getByText("Single network").waitFor();
    await page.locator("header select").selectOption("fashion-mnist-deep-ensemble");
    await page.locator("#says-title").getByText("Deep ensemble").waitFor();
    await page.waitForLoadState("networkidle");
    assert.equal(await page.locator(".frame canvas").evaluate((canvas) => canvas.toDataURL()), drawn);
  }));

test("no answer stands beside an input that is no longer there", () =>
  visit(browser, service, async (page) => {
    await open(page, "try/languages");
    await page.getByLabel(/^Text/).fill("");
    await page.getByText("Give the model an input that it can take.").waitFor();
    assert.equal(await page.locator(".answer").count(), 0);
    await page.getByLabel(/^Text/).fill("gelato");
    await page.locator(".answer").waitFor();
  }));

test("charts go with their view", () =>
  visit(browser, service, async (page) => {
    await page.goto("/#/card/fashion-mnist");
    await page.locator(".chart canvas").first().waitFor();
    await open(page, "try/languages");
  }));

test("a malformed address shows what there is no model of", () =>
  visit(browser, service, async (page) => {
    await page.goto("/#/try/%E0%A4%A");
    await page.getByText("There is no model %E0%A4%A.").waitFor();
  }));

test("the live view counts what was asked", () =>
  visit(browser, service, async (page) => {
    await open(page, "try/fashion-mnist");
    await page.getByRole("link", { name: "Live" }).click();
    await page.getByRole("row", { name: /fashion-mnist/ }).waitFor();
    await page.locator(".chart canvas").first().waitFor(); // after the second look
    await page.getByRole("img", { name: /Share of the rows/ }).first().waitFor();
  }));

test("when the service is gone the page says so, and goes on by itself when it is back", async () => {
  let own = await startService();
  const { port } = own;
  try {
    await visit(
      browser,
      own,
      async (page) => {
        await open(page, "try/digits");
        await own.stop();
        await page.getByRole("button", { name: "Clear" }).click();
        await page.getByRole("alert").getByText("The service does not answer.").waitFor();
        await drag(page, [[0.5, 0.05], [0.5, 0.95]]);
        own = await startService({ MASKSEMBLES_PORT: String(port) });
        await headline(page).getByText("1", { exact: true }).waitFor();
        assert.equal(await page.getByRole("alert").count(), 0);
      },
      { expected: /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/ },
    );
  } finally {
    await own.stop();
  }
});

describe("with keys", () => {
  const secret = "correct-horse-battery-staple";
  const metricsOnly = "another-horse-another-staple";
  const hash = (key) => createHash("sha256").update(key).digest("hex");
  let locked;
  before(async () => (locked = await startService({ MASKSEMBLES_KEYS: `page:predict:${hash(secret)},prometheus:metrics:${hash(metricsOnly)}` })));
  after(() => locked?.stop());

  test("a key that no header can hold is refused, and a key can be changed", () =>
    visit(
      browser,
      locked,
      async (page) => {
        await page.goto("/");
        await page.getByLabel("API key").fill("ключ");
        await page.getByRole("button", { name: "Go on" }).click();
        await page.getByRole("alert").getByText("does not know this key").waitFor();
        await page.getByLabel("API key").fill(secret);
        await page.getByRole("button", { name: "Go on" }).click();
        await headline(page).waitFor();
        await page.getByRole("button", { name: "Change key" }).click();
        await page.getByLabel("API key").fill(metricsOnly);
        await page.getByRole("button", { name: "Go on" }).click();
        await page.getByRole("alert").getByText(/scope/).waitFor();
      },
      { expected: /status of 40[13]/ },
    ));

  test("a wrong key is refused, a right one kept for the tab only", () =>
    visit(
      browser,
      locked,
      async (page) => {
        await page.goto("/");
        await page.getByLabel("API key").fill("wrong");
        await page.getByRole("button", { name: "Go on" }).click();
        await page.getByRole("alert").getByText("does not know this key").waitFor();
        assert.deepEqual(await faults(page), []);
        await page.getByLabel("API key").fill(secret);
        await page.getByRole("button", { name: "Go on" }).click();
        await headline(page).waitFor();
        await page.reload();
        await headline(page).waitFor();
        assert.equal(await page.evaluate(() => localStorage.length), 0);
        assert.equal(await page.evaluate(() => document.cookie), "");

        await page.goto("/#/live");
        await page.getByText("This key may not read metrics").waitFor();

        const other = await page.context().newPage();
        await other.goto(`${locked.url}/`);
        await other.getByLabel("API key").waitFor();
      },
      { expected: /status of 40[13]/ },
    ));
});

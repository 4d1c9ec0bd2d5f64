// An application that posts a picture and gets the map of its entropy as a picture, with the values of black and white.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { paths } from "./build/openapi.js";

const [address, picture, map] = process.argv.slice(2);
assert(address !== undefined && picture !== undefined && map !== undefined, "expected an address and two files");
const client = createClient<paths>({ baseUrl: address });

const { data, error, response } = await client.POST("/predict", {
  params: { query: { model: "scenes", outputs: "entropy", bits: 16 } },
  headers: { "Content-Type": "image/png", Accept: "image/png" },
  body: new Blob([await readFile(picture)]) as never,
  bodySerializer: (body) => body as BodyInit,
  parseAs: "arrayBuffer",
});
if (error) throw new Error(error.error.message);
assert.equal(response.headers.get("content-type"), "image/png");
await writeFile(map, new Uint8Array(data as ArrayBuffer));
console.log(response.headers.get("x-map-range"));

// An application that knows the service by the types made from the OpenAPI document alone.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./build/openapi.js";

type PredictRequest = components["schemas"]["PredictRequest"];

const [address, rows] = process.argv.slice(2);
assert(address !== undefined && rows !== undefined, "expected the service's address and a file with a request");
const client = createClient<paths, "application/json">({ baseUrl: address });

const request: PredictRequest = JSON.parse(await readFile(rows, "utf8"));
const { data: answer, error } = await client.POST("/predict", { body: request });
if (error) throw new Error(error.error.message);
const [prediction] = answer.predictions;
assert(prediction !== undefined && "mutual_information" in prediction);
const ignorance = prediction.mutual_information;
assert(typeof ignorance === "number" && ignorance > 0);
assert.equal(prediction.submodels?.length, answer.model.num_submodels);

// @ts-expect-error the document has no such field; were the types any, this line would not compile
assert.equal(prediction.mutual_informaton, undefined);
// @ts-expect-error nor is there a request without inputs
const incomplete: PredictRequest = { model: "digits" };
assert.equal(incomplete.inputs, undefined);

const { error: refused, response } = await client.POST("/predict", { body: { model: "cats", inputs: [[1]] } });
assert.equal(response.status, 404);
assert.equal(refused?.error.code, "unknown_model");

const { data: catalog } = await client.GET("/models");
assert.deepEqual(
  catalog?.models.map((model) => model.name).filter((name) => ["digits", "fashion-mnist"].includes(name)),
  ["digits", "fashion-mnist"],
);

assert(Array.isArray(request.inputs), "a model of one input takes an array");
const { data: inferred, error: failed } = await client.POST("/v2/models/{name}/infer", {
  params: { path: { name: answer.model.name } },
  body: {
    inputs: [{ name: "input", datatype: "FP32", shape: [1, 1, 28, 28], data: request.inputs }],
    outputs: [{ name: "mutual_information" }],
  },
});
if (failed) throw new Error(failed.error);
assert.deepEqual(inferred.outputs[0]?.data, [ignorance]);

console.log(JSON.stringify(answer));

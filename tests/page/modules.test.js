// The page's modules that need no browser.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { alongPath, asked, family, idsOf, kindOf, pictureSize } from "../../app/web/page/contract.js";
import { buckets, quantile, read, since, total } from "../../app/web/page/exposition.js";
import { number, percentile } from "../../app/web/page/format.js";
import { readNpz } from "../../app/web/page/npz.js";
import { ROOT } from "./service.js";

const TEXT = `# HELP x_seconds Seconds
# TYPE x_seconds histogram
x_seconds_bucket{le="1.0",model="a"} 1
x_seconds_bucket{le="2.0",model="a"} 3
x_seconds_bucket{le="+Inf",model="a"} 4
x_seconds_bucket{le="1.0",model="b \\"c\\", d"} 10
x_seconds_bucket{le="2.0",model="b \\"c\\", d"} 10
x_seconds_bucket{le="+Inf",model="b \\"c\\", d"} 10
up 1.5e+03
`;

test("Prometheus's text format is read", () => {
  const samples = read(TEXT);
  assert.equal(total(samples, "up"), 1500);
  assert.equal(total(samples, "x_seconds_bucket", { model: 'b "c", d', le: "1.0" }), 10);
  assert.equal(total(samples, "absent"), 0);
  assert.deepEqual(buckets(samples, "x_seconds", { model: "a" }), [[1, 1], [2, 2], [Infinity, 1]]);
  assert.deepEqual(buckets(samples, "x_seconds"), [[1, 11], [2, 2], [Infinity, 1]]);
});

test("quantiles are linear within a bucket", () => {
  assert.equal(quantile([[1, 1], [2, 2], [Infinity, 1]], 0.5), 1.5);
  assert.equal(quantile([[1, 1], [2, 2], [Infinity, 1]], 0.99), 2); // of what lies beyond only the bound is known
  assert.equal(quantile([[1, 0], [Infinity, 0]], 0.5), null);
  assert.deepEqual(since([[1, 5], [2, 7]], [[1, 2], [2, 7]]), [[1, 3], [2, 0]]);
});

test("files of numpy.savez are read", () => {
  // by way of memory, as the service does: what goes into a pipe has its sizes after the data
  const code = `import io, numpy as np, sys
file = io.BytesIO()
np.savez(file, a=np.arange(6, dtype=np.float32).reshape(2, 3), b=np.array([7, -8]), c=np.array(["x"]))
sys.stdout.buffer.write(file.getvalue())`;
  const bytes = execFileSync(`${ROOT}/.venv/bin/python`, ["-c", code]);
  const found = readNpz(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  assert.deepEqual(found.a, { shape: [2, 3], data: new Float32Array([0, 1, 2, 3, 4, 5]) });
  assert.deepEqual(found.b, { shape: [2], data: new BigInt64Array([7n, -8n]) });
  assert.deepEqual(found.c, { shape: [1], data: null });
});

test("an input is given as its contract says", () => {
  const tensor = { name: "input", dtype: "float32", shape: ["B", 10] };
  assert.equal(kindOf(tensor), "row");
  assert.equal(kindOf({ ...tensor, shape: ["B", 2] }), "plane");
  assert.equal(kindOf({ ...tensor, shape: ["B", 1, 28, 28], layout: "BCHW" }), "picture");
  assert.equal(kindOf({ ...tensor, dtype: "int64", shape: ["B", "T"], symbols: ["", "a"] }), "text");
  assert.equal(kindOf({ ...tensor, dtype: "int64", shape: ["B", "T"] }), "json");
  assert.equal(kindOf({ ...tensor, shape: ["B", 3, 4] }), "json");
});

test("free sizes are brought within their axes", () => {
  const contract = { axes: { H: { least: 32, most: 512, multiple_of: 8 }, W: { least: 32, most: 512, multiple_of: 8 } } };
  const input = { shape: ["B", 1, "H", "W"], layout: "BCHW" };
  assert.deepEqual(pictureSize(contract, input, [61, 99]), [64, 96]);
  assert.deepEqual(pictureSize(contract, input, [5, 9999]), [32, 512]);
  assert.deepEqual(pictureSize(contract, { shape: ["B", 28, 30, 3], layout: "BHWC" }), [28, 30]);
});

test("letters become ids, unknown ones the id that is not padding", () => {
  const contract = { axes: { T: { padding: { fill: {} } } } };
  const input = { name: "input", shape: ["B", "T"], symbols: ["", "", "a", "b"] };
  assert.deepEqual(idsOf(contract, input, "aB?"), [[2, 3, 1]]);
  assert.deepEqual(idsOf(contract, { ...input, shape: ["B", 4] }, "ab"), [[2, 3, 0, 0]]);
});

test("models of one question stand along the paper's path", () => {
  const model = (name, method, scale) => ({
    name,
    contract: {
      method,
      masks: scale && { layers: [{ scale }] },
      inputs: [{ name: "input", dtype: "float32", shape: ["B", 2] }],
      heads: [{ task: "classification", grid: [], labels: ["a"], targets: [] }],
    },
  });
  const models = [model("e", "deep-ensemble"), model("m3", "masksembles", 3), model("m2", "masksembles", 2), model("d", "mc-dropout", 1.2), model("s", "single")];
  assert.deepEqual(models.sort(alongPath).map((one) => one.name), ["s", "d", "m2", "m3", "e"]);
  assert.equal(new Set(models.map((one) => family(one.contract))).size, 1);
});

test("the mark of a padded input is left to the service", () => {
  const axes = { T: { least: 1, most: 8, multiple_of: 1, padding: { fill: { ids: 0 }, mark: "real" } }, U: { least: 1, most: 8, multiple_of: 1 } };
  assert.deepEqual(asked({ axes, inputs: [{ name: "ids" }, { name: "real" }] }), [{ name: "ids" }]);
});

test("numbers are written for people", () => {
  assert.equal(number(-1.6138), "−1.61");
  assert.equal(number(null), "–");
  assert.equal(percentile(99.98), "higher than for 99.9 % of the calibration rows");
  assert.equal(percentile(100), "higher than for all calibration rows");
});

// What the page reads from a version's contract.

const WHOLE = ["uint8", "int64", "int32"];

/** How a person gives an input: picture, text, plane (two numbers), row, or json (anything else). */
export function kindOf(input) {
  if (input.layout) return "picture";
  const [, second] = input.shape;
  if (input.shape.length !== 2) return "json";
  if (WHOLE.includes(input.dtype)) return input.symbols ? "text" : "json";
  if (input.dtype !== "float32" || typeof second !== "number") return "json";
  return second === 2 ? "plane" : "row";
}

/** The inputs that a person gives; the service itself marks the real entries of a padded one. */
export function asked(contract) {
  const marks = Object.values(contract.axes).map((axis) => axis.padding?.mark);
  return contract.inputs.filter((input) => !marks.includes(input.name));
}

/** Height and width of a picture; where they are free, the wanted ones, brought within the axes' bounds. */
export function pictureSize(contract, input, wanted = [64, 96]) {
  const [, , ...sides] = input.layout === "BHWC" ? ["B", "C", ...input.shape.slice(1, 3)] : input.shape;
  return sides.map((side, at) => {
    if (typeof side === "number") return side;
    const axis = contract.axes[side];
    const fits = Math.round(wanted[at] / axis.multiple_of) * axis.multiple_of;
    return Math.min(axis.most, Math.max(axis.least, fits));
  });
}

export const free = (contract, input) => input.shape.slice(1).some((side) => typeof side === "string");

/** The data set that a head was evaluated or calibrated on. */
export const dataOf = (contract) => contract.heads[0].evaluation?.data ?? contract.heads[0].calibration?.data;

/** Text as ids [1, T]; unknown letters get the id that stands for none and is not the padding's. */
export function idsOf(contract, input, text) {
  const letters = [...text.normalize("NFC")].map((letter) => (input.symbols.includes(letter) ? letter : letter.toLowerCase()));
  const padding = contract.axes[input.shape[1]]?.padding?.fill?.[input.name] ?? 0;
  const unknown = input.symbols.findLastIndex((symbol, id) => symbol === "" && id !== padding);
  const ids = letters.map((letter) => (input.symbols.includes(letter) ? input.symbols.indexOf(letter) : unknown));
  const fixed = input.shape[1];
  return [typeof fixed === "number" ? Array.from({ length: fixed }, (_, at) => ids[at] ?? padding) : ids];
}

/** Models that answer the same question, so that one input fits all. */
export function family(contract) {
  const given = contract.inputs.map(({ name, dtype, shape, range }) => [name, dtype, shape, range ?? null]);
  const answered = contract.heads.map(({ task, grid, labels, targets }) => [task, grid, labels, targets.map((one) => one.name)]);
  return JSON.stringify([given, answered]);
}

/** In the order of the paper's path. */
export const METHOD_NAMES = {
  single: "Single network",
  "mc-dropout": "MC-dropout",
  masksembles: "Masksembles",
  "deep-ensemble": "Deep ensemble",
};

/** The scale S of the masks, the mean over layers; 1 without masks. */
export function scaleOf(contract) {
  const layers = contract.masks?.layers ?? [];
  return layers.length ? layers.reduce((sum, layer) => sum + layer.scale, 0) / layers.length : 1;
}

/** Orders models along the paper's path: one network, …, independent networks. */
export function alongPath(a, b) {
  const place = (one) => Object.keys(METHOD_NAMES).indexOf(one.contract.method) * 1000 + scaleOf(one.contract);
  return place(a) - place(b) || a.name.localeCompare(b.name);
}

/** What one answer costs, in passes of the network without masks; null if the file does not say. */
export function densePasses(contract) {
  const { macs, macs_single } = contract.compilation ?? {};
  return macs && macs_single ? macs / macs_single : null;
}

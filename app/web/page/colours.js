// Colours: viridis for scores (by van der Walt and Smith, sampled), and the page's own from its style sheet.

const VIRIDIS = [
  [68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142],
  [31, 158, 137], [53, 183, 121], [109, 205, 89], [180, 222, 44], [253, 231, 37],
];

/** The colour of a value in 0 … 1, as [red, green, blue]. */
export function viridis(value) {
  const at = Math.min(1, Math.max(0, value)) * (VIRIDIS.length - 1);
  const below = Math.min(VIRIDIS.length - 2, Math.floor(at));
  return VIRIDIS[below].map((low, c) => Math.round(low + (at - below) * (VIRIDIS[below + 1][c] - low)));
}

/** The colour of a custom property such as --model. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The palette of a PNG, as [red, green, blue] by index: the service says which colour a class has. */
export async function paletteOf(picture) {
  const bytes = new DataView(await picture.arrayBuffer());
  for (let at = 8; at + 8 <= bytes.byteLength; at += 12 + bytes.getUint32(at)) {
    if (bytes.getUint32(at + 4) !== 0x504c5445) continue; // "PLTE"
    return Array.from({ length: bytes.getUint32(at) / 3 }, (_, k) => [0, 1, 2].map((c) => bytes.getUint8(at + 8 + 3 * k + c)));
  }
  return null;
}

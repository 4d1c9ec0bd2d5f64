// Reads arrays as numpy.savez writes them: a zip file of .npy files, not compressed.

const LOCAL = 0x04034b50; // what an entry begins with
const ARRAYS = { "<f4": Float32Array, "<i8": BigInt64Array, "|u1": Uint8Array, "|b1": Uint8Array };

/** Arrays by name: { data, shape }. */
export function readNpz(buffer) {
  const view = new DataView(buffer);
  const arrays = {};
  for (let at = 0; at + 30 <= buffer.byteLength && view.getUint32(at, true) === LOCAL; ) {
    let size = view.getUint32(at + 18, true);
    const [name, extra] = [view.getUint16(at + 26, true), view.getUint16(at + 28, true)];
    const title = new TextDecoder().decode(new Uint8Array(buffer, at + 30, name));
    // sizes of 2³² − 1 stand in the zip64 part of what follows the name
    if (size === 0xffffffff) size = Number(view.getBigUint64(at + 30 + name + 12, true));
    const begin = at + 30 + name + extra;
    arrays[title.replace(/\.npy$/, "")] = readNpy(buffer, begin);
    at = begin + size;
  }
  return arrays;
}

function readNpy(buffer, at) {
  const view = new DataView(buffer);
  const [length, begin] = view.getUint8(at + 6) === 1 ? [view.getUint16(at + 8, true), at + 10] : [view.getUint32(at + 8, true), at + 12];
  const header = new TextDecoder().decode(new Uint8Array(buffer, begin, length));
  const kind = /'descr': '([^']+)'/.exec(header)[1];
  const shape = /'shape': \(([^)]*)\)/.exec(header)[1].split(",").filter((part) => part.trim()).map(Number);
  const Kind = ARRAYS[kind];
  if (!Kind) return { shape, data: null }; // texts, which the page takes from JSON
  const count = shape.reduce((product, side) => product * side, 1);
  const bytes = buffer.slice(begin + length, begin + length + count * Kind.BYTES_PER_ELEMENT);
  return { shape, data: new Kind(bytes) };
}

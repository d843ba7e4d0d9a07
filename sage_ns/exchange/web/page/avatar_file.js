// Reads the files of sage_ns.exchange.web.array_file: named arrays in one binary file, used without copying.

const MAGIC = "SAGEWEB1";
const BEFORE_HEADER = 16;
// Half floats are not converted: the graphics card reads them.
const TYPES = {
  float32: Float32Array,
  float16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  uint16: Uint16Array,
  uint8: Uint8Array,
};

/** Returns the header, with a typed array for each of its `arrays`. */
export function readAvatar(buffer) {
  const bytes = new Uint8Array(buffer);
  const magic = String.fromCharCode(...bytes.subarray(0, MAGIC.length));
  if (magic !== MAGIC) throw new Error("avatar.bin is broken or is not an avatar. Export it again.");
  const length = new DataView(buffer).getUint32(MAGIC.length, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(BEFORE_HEADER, BEFORE_HEADER + length)));
  for (const [name, { type, shape, offset }] of Object.entries(header.arrays)) {
    const size = shape.reduce((product, each) => product * each, 1);
    header.arrays[name] = new TYPES[type](buffer, offset, size);
  }
  return header;
}

/** Returns the arrays of one part by name, without the part's prefix; null if the file has no such part. */
export function partOf(header, part) {
  const chosen = Object.entries(header.arrays).filter(([name]) => name.startsWith(`${part}.`));
  if (chosen.length === 0) return null;
  return Object.fromEntries(chosen.map(([name, array]) => [name.slice(part.length + 1), array]));
}

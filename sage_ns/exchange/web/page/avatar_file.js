// Reads what sage_ns.exchange.web.array_file writes: named arrays in one binary file, looked at in place.

const MAGIC = "SAGEWEB1";
const BEFORE_HEADER = 16;
// Half floats stay as they are: the graphics card reads them.
const TYPES = {
  float32: Float32Array,
  float16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  uint16: Uint16Array,
  uint8: Uint8Array,
};

/** The header, with each of its `arrays` as a typed array under its name. */
export function readAvatar(buffer) {
  const bytes = new Uint8Array(buffer);
  const magic = String.fromCharCode(...bytes.subarray(0, MAGIC.length));
  if (magic !== MAGIC) throw new Error("avatar.bin is broken, or not an avatar. Export it again.");
  const length = new DataView(buffer).getUint32(MAGIC.length, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(BEFORE_HEADER, BEFORE_HEADER + length)));
  for (const [name, { type, shape, offset }] of Object.entries(header.arrays)) {
    const size = shape.reduce((product, each) => product * each, 1);
    header.arrays[name] = new TYPES[type](buffer, offset, size);
  }
  return header;
}

/** The arrays of one part, without its name before theirs; null where the file has no such part. */
export function partOf(header, part) {
  const chosen = Object.entries(header.arrays).filter(([name]) => name.startsWith(`${part}.`));
  if (chosen.length === 0) return null;
  return Object.fromEntries(chosen.map(([name, array]) => [name.slice(part.length + 1), array]));
}

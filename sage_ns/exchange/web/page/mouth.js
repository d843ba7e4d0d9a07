// The light inside the mouth, as in sage_ns.avatar.mouth.part_shade and sage_ns.rig.mouth.lip_gap.

/** Factors on the colours of the mouth's triangles, which depend on the opening of the mouth. */
export class MouthLight {
  /** `head`: the head's vertices at rest, metres. */
  constructor(arrays, head) {
    this.arrays = arrays;
    this.restGap = this.#gap(head);
    this.width = rowWidth(arrays.v_template, arrays.upper_teeth);
  }

  /** Writes the factors to `shade`, from index `first` on, for the head's posed vertices. */
  apply(vertices, shade, first) {
    const { openings, shade: table, part } = this.arrays;
    const last = openings.length - 1;
    const opened = Math.max(this.#gap(vertices) - this.restGap, 0) / this.width;
    const opening = Math.min(Math.max(opened, openings[0]), openings[last]);
    let after = Math.min(1, last);
    while (after < last && openings[after] < opening) after++;
    const before = Math.max(after - 1, 0);
    const fraction = (opening - openings[before]) / Math.max(openings[after] - openings[before], 1e-9);
    for (let t = 0; t < part.length; t++) {
      const row = part[t] * openings.length;
      shade[first + t] = table[row + before] + fraction * (table[row + after] - table[row + before]);
    }
  }

  /** Returns the mean distance between points of the upper lip and those below them on the lower one. */
  #gap(vertices) {
    const { upper_lip: upper, lower_lip: lower } = this.arrays;
    let sum = 0;
    for (let pair = 0; pair < upper.length; pair++) {
      let squared = 0;
      for (let axis = 0; axis < 3; axis++) {
        squared += (vertices[3 * upper[pair] + axis] - vertices[3 * lower[pair] + axis]) ** 2;
      }
      sum += Math.sqrt(squared);
    }
    return sum / upper.length;
  }
}

/** Returns the diagonal of the box around a row of teeth. */
function rowWidth(vertices, chosen) {
  let squared = 0;
  for (let axis = 0; axis < 3; axis++) {
    let [low, high] = [Infinity, -Infinity];
    for (const vertex of chosen) {
      low = Math.min(low, vertices[3 * vertex + axis]);
      high = Math.max(high, vertices[3 * vertex + axis]);
    }
    squared += (high - low) ** 2;
  }
  return Math.sqrt(squared);
}

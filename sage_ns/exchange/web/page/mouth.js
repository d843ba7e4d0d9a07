// The light inside the mouth, as in sage_ns.avatar.mouth.part_shade and sage_ns.rig.mouth.lip_gap.

/** Factors on the colours of the mouth's triangles, which depend on the opening of the mouth. */
export class MouthLight {
  constructor(arrays) {
    this.arrays = arrays;
    this.restGap = this.#gap(arrays.v_template);
    this.width = rowWidth(arrays.v_template, arrays.upper_teeth);
  }

  /** Writes the factors to `shade`, from index `first` on, for the mouth's posed vertices. */
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

  /** Returns the distance between the centres of the two rows of teeth. */
  #gap(vertices) {
    let squared = 0;
    for (let axis = 0; axis < 3; axis++) {
      const upper = mean(vertices, this.arrays.upper_teeth, axis);
      squared += (upper - mean(vertices, this.arrays.lower_teeth, axis)) ** 2;
    }
    return Math.sqrt(squared);
  }
}

function mean(vertices, chosen, axis) {
  let sum = 0;
  for (const vertex of chosen) sum += vertices[3 * vertex + axis];
  return sum / chosen.length;
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

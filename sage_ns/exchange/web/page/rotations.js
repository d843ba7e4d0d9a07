// Rotations as axis-angle vectors (radians), matrices (row by row) and unit quaternions (w, x, y, z).

/** Writes the rotation matrix of the axis-angle vector at index `at` of `vector` to `out[0..8]`: Rodrigues' formula. */
export function axisAngleToMatrix(vector, at, out) {
  const x = vector[at];
  const y = vector[at + 1];
  const z = vector[at + 2];
  const squared = x * x + y * y + z * z;
  const angle = Math.sqrt(squared);
  const s = squared < 1e-12 ? 1 : Math.sin(angle) / angle;
  const c = squared < 1e-12 ? 0.5 : (1 - Math.cos(angle)) / squared;
  out[0] = 1 - c * (y * y + z * z);
  out[1] = c * x * y - s * z;
  out[2] = c * x * z + s * y;
  out[3] = c * x * y + s * z;
  out[4] = 1 - c * (x * x + z * z);
  out[5] = c * y * z - s * x;
  out[6] = c * x * z - s * y;
  out[7] = c * y * z + s * x;
  out[8] = 1 - c * (x * x + y * y);
}

/** Writes the unit quaternion, w >= 0, of the matrix with these columns to `out`, from index `at` on.
 *
 * Of the four formulas, the function uses the one with the largest divisor.
 */
export function columnsToQuaternion(ax, ay, az, bx, by, bz, cx, cy, cz, out, at) {
  const trace = ax + by + cz;
  let w = 0;
  let x = 0;
  let y = 0;
  let z = 0;
  if (trace >= ax && trace >= by && trace >= cz) {
    w = 1 + trace;
    x = bz - cy;
    y = cx - az;
    z = ay - bx;
  } else if (ax >= by && ax >= cz) {
    w = bz - cy;
    x = 1 + ax - by - cz;
    y = bx + ay;
    z = cx + az;
  } else if (by >= cz) {
    w = cx - az;
    x = bx + ay;
    y = 1 - ax + by - cz;
    z = cy + bz;
  } else {
    w = ay - bx;
    x = cx + az;
    y = cy + bz;
    z = 1 - ax - by + cz;
  }
  const factor = (w < 0 ? -1 : 1) / Math.sqrt(w * w + x * x + y * y + z * z);
  out[at] = w * factor;
  out[at + 1] = x * factor;
  out[at + 2] = y * factor;
  out[at + 3] = z * factor;
}

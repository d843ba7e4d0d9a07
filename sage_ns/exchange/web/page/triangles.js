// Frames of triangles, as in sage_ns.geometry.triangles: local point x -> scale * rotation x + origin.

import { columnsToQuaternion } from "./rotations.js";

/** Numbers per triangle: origin (3), scale, quaternion (w, x, y, z). Two texels of a texture. */
export const FRAME_SIZE = 8;

const MIN_TRIANGLE_SCALE = 1e-9;

/** Writes the frames of all triangles to `frames`, from triangle number `first` on.
 *
 * With u = v1 - v0 and e = v2 - v0: the rotation's columns are the direction of u, the normal, and the negative
 * direction of the part of e that is perpendicular to u. A triangle without area gets an arbitrary frame.
 */
export function triangleFrames(vertices, triangles, frames, first = 0) {
  for (let t = 0; t < triangles.length / 3; t++) {
    const a = 3 * triangles[3 * t];
    const b = 3 * triangles[3 * t + 1];
    const c = 3 * triangles[3 * t + 2];
    const x0 = vertices[a];
    const y0 = vertices[a + 1];
    const z0 = vertices[a + 2];
    const ex = vertices[c] - x0;
    const ey = vertices[c + 1] - y0;
    const ez = vertices[c + 2] - z0;
    let ux = vertices[b] - x0;
    let uy = vertices[b + 1] - y0;
    let uz = vertices[b + 2] - z0;
    let baseLength = Math.sqrt(ux * ux + uy * uy + uz * uz);
    if (baseLength <= MIN_TRIANGLE_SCALE) {
      baseLength = uy = uz = 0;
      ux = 1;
    } else {
      ux /= baseLength;
      uy /= baseLength;
      uz /= baseLength;
    }
    const along = ex * ux + ey * uy + ez * uz;
    let hx = ex - along * ux;
    let hy = ey - along * uy;
    let hz = ez - along * uz;
    let height = Math.sqrt(hx * hx + hy * hy + hz * hz);
    if (height <= Math.max(MIN_TRIANGLE_SCALE, 1e-7 * Math.sqrt(ex * ex + ey * ey + ez * ez))) {
      height = 0;
      // An arbitrary direction perpendicular to the base: its cross product with the axis farthest from it.
      const mx = Math.abs(ux);
      const my = Math.abs(uy);
      const mz = Math.abs(uz);
      if (mx <= my && mx <= mz) {
        hx = 0;
        hy = uz;
        hz = -uy;
      } else if (my <= mz) {
        hx = -uz;
        hy = 0;
        hz = ux;
      } else {
        hx = uy;
        hy = -ux;
        hz = 0;
      }
    }
    const away = -1 / Math.sqrt(hx * hx + hy * hy + hz * hz);
    const ax = hx * away;
    const ay = hy * away;
    const az = hz * away;
    const at = FRAME_SIZE * (first + t);
    frames[at] = (x0 + vertices[b] + vertices[c]) / 3;
    frames[at + 1] = (y0 + vertices[b + 1] + vertices[c + 1]) / 3;
    frames[at + 2] = (z0 + vertices[b + 2] + vertices[c + 2]) / 3;
    frames[at + 3] = Math.max((baseLength + height) / 2, MIN_TRIANGLE_SCALE);
    const nx = ay * uz - az * uy;
    const ny = az * ux - ax * uz;
    const nz = ax * uy - ay * ux;
    columnsToQuaternion(ux, uy, uz, nx, ny, nz, ax, ay, az, frames, at + 4);
  }
}

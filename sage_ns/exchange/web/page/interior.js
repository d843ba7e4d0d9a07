// The inside of the head: dark, and around the mouth hidden or the lining of a cheek; as in sage_ns.avatar.interior and sage_ns.avatar.mouth.

import { FRAME_SIZE } from "./triangles.js";

const DARK = 0.06;
const GRAZING = -0.3;
const INSIDE = -0.6;
const TURNED_AWAY = -0.05;

/** Value of `shade` for triangles whose surfels are not drawn. */
export const HIDDEN = -1;

/** Value of `shade` for triangles that show the inner side of a cheek or lip, across the mouth. */
export const LINING = -2;

/** Factors on the colour of skin there. */
export const LINING_COLOR = [0.42, 0.24, 0.21];

/** Computes the factor on the colour of each of the head's triangles, or `HIDDEN`, or `LINING`.
 *
 * @param frames frames of all triangles, the head's first.
 * @param interior 1 for triangles that are dark when seen from inside.
 * @param unseen 1 for triangles that are hidden when seen from inside before the teeth, and lining behind them.
 * @param center position of the camera, three numbers, metres.
 * @param middle the point between the front teeth, three numbers, metres; null without a mouth.
 * @param shade output, one factor per triangle.
 */
export function shadeInterior(frames, interior, unseen, center, middle, shade) {
  for (let t = 0; t < interior.length; t++) {
    shade[t] = 1;
    if (!interior[t] && !unseen[t]) continue;
    const at = FRAME_SIZE * t;
    const dx = center[0] - frames[at];
    const dy = center[1] - frames[at + 1];
    const dz = center[2] - frames[at + 2];
    const w = frames[at + 4];
    const x = frames[at + 5];
    const y = frames[at + 6];
    const z = frames[at + 7];
    // The normal is the second column of the frame's rotation.
    const facing =
      (2 * (x * y - w * z) * dx + (1 - 2 * (x * x + z * z)) * dy + 2 * (y * z + w * x) * dz) /
      Math.sqrt(dx * dx + dy * dy + dz * dz);
    if (unseen[t] && facing < TURNED_AWAY) {
      shade[t] = isBehind(frames, at, center, middle) ? LINING : HIDDEN;
    } else if (interior[t]) {
      const inside = Math.min(Math.max((GRAZING - facing) / (GRAZING - INSIDE), 0), 1);
      shade[t] = 1 - (1 - DARK) * inside;
    }
  }
}

function isBehind(frames, at, center, middle) {
  let along = 0;
  for (let axis = 0; axis < 3; axis++) along += (frames[at + axis] - middle[axis]) * (middle[axis] - center[axis]);
  return along > 0;
}

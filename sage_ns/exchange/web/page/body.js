// The posed avatar, independent of drawing: frames and shades of all triangles, first the head's, then the mouth's.

import { partOf } from "./avatar_file.js";
import { shadeInterior } from "./interior.js";
import { MouthLight } from "./mouth.js";
import { PersonalRig } from "./skinning.js";
import { FRAME_SIZE, triangleFrames } from "./triangles.js";

export class Body {
  /** `room`: triangles per row of a texture. The lengths of the arrays are rounded up to whole rows. */
  constructor(header, room = 1) {
    this.rigArrays = partOf(header, "rig");
    this.rig = new PersonalRig(this.rigArrays);
    const mouthArrays = partOf(header, "mouth");
    this.mouth = mouthArrays && new PersonalRig(mouthArrays);
    this.mouthLight = mouthArrays && new MouthLight(mouthArrays, this.rigArrays.v_template);
    this.numTriangles = this.rig.numTriangles + (this.mouth ? this.mouth.numTriangles : 0);
    const size = Math.ceil(this.numTriangles / room) * room;
    this.frames = new Float32Array(FRAME_SIZE * size);
    this.shade = new Float32Array(size);
  }

  /** Poses head and mouth by a motion vector. */
  pose(motion) {
    triangleFrames(this.rig.pose(motion), this.rigArrays.triangles, this.frames);
    if (this.mouth) triangleFrames(this.mouth.pose(motion), this.mouth.arrays.triangles, this.frames, this.rig.numTriangles);
  }

  /** Computes the shades of all triangles for a camera at `center` (metres); call `pose` first. */
  light(center) {
    const middle = this.mouth && pointBetween(this.mouth.vertices, this.mouth.arrays.edges);
    shadeInterior(this.frames, this.rigArrays.interior, this.rigArrays.unseen, center, middle, this.shade);
    if (this.mouth) this.mouthLight.apply(this.rig.vertices, this.shade, this.rig.numTriangles);
  }
}

function pointBetween(vertices, [first, second]) {
  return [0, 1, 2].map((axis) => 0.5 * (vertices[3 * first + axis] + vertices[3 * second + axis]));
}

// The posed avatar without anything that draws: frames and shades of all triangles, the head's first, then the mouth's.

import { partOf } from "./avatar_file.js";
import { shadeInterior } from "./interior.js";
import { MouthLight } from "./mouth.js";
import { PersonalRig } from "./skinning.js";
import { FRAME_SIZE, triangleFrames } from "./triangles.js";

export class Body {
  /** `room` makes the arrays longer than they need be: textures come in whole rows of that many triangles. */
  constructor(header, room = 1) {
    this.rigArrays = partOf(header, "rig");
    this.rig = new PersonalRig(this.rigArrays);
    const mouthArrays = partOf(header, "mouth");
    this.mouth = mouthArrays && new PersonalRig(mouthArrays);
    this.mouthLight = mouthArrays && new MouthLight(mouthArrays);
    this.numTriangles = this.rig.numTriangles + (this.mouth ? this.mouth.numTriangles : 0);
    const size = Math.ceil(this.numTriangles / room) * room;
    this.frames = new Float32Array(FRAME_SIZE * size);
    this.shade = new Float32Array(size);
  }

  /** Moves everything to where a motion vector says. */
  pose(motion) {
    triangleFrames(this.rig.pose(motion), this.rigArrays.triangles, this.frames);
    if (this.mouth) triangleFrames(this.mouth.pose(motion), this.mouth.arrays.triangles, this.frames, this.rig.numTriangles);
  }

  /** Shades everything as a camera at `center` (metres) sees it; after `pose`. */
  light(center) {
    shadeInterior(this.frames, this.rigArrays.interior, this.rigArrays.unseen, center, this.shade);
    if (this.mouth) this.mouthLight.apply(this.mouth.vertices, this.shade, this.rig.numTriangles);
  }
}

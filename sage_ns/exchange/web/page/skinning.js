// Poses a rig: blendshapes, then linear blend skinning, as sage_ns.rig.skinning and smplx do.

import { axisAngleToMatrix } from "./rotations.js";

const NUM_JOINTS = 5;
// First entries of the angles of root, neck, jaw, left and right eye in a motion vector, and of the expression.
const ANGLES = [3, 6, 9, 12, 15];
const EXPRESSION = 18;

/** One person's rig. Names and shapes are those of sage_ns.exchange.web.rig_arrays. Posing allocates no memory. */
export class PersonalRig {
  constructor(arrays) {
    this.arrays = arrays;
    this.numVertices = arrays.v_template.length / 3;
    this.numTriangles = arrays.triangles.length / 3;
    this.vertices = new Float32Array(arrays.v_template);
    this.joints = new Float32Array(3 * NUM_JOINTS);
    this.rotations = Array.from({ length: NUM_JOINTS }, () => new Float64Array(9));
    // Joint transforms, row by row, [rotation | translation]: rest pose to posed.
    this.transforms = Array.from({ length: NUM_JOINTS }, () => new Float64Array(12));
    this.centers = new Float64Array(3 * NUM_JOINTS);
  }

  /** Returns the posed vertices (metres) under a motion vector; every call returns the same array. */
  pose(motion) {
    const { arrays, vertices, joints, rotations } = this;
    vertices.set(arrays.v_template);
    joints.set(arrays.joints);
    addExpression(arrays, "expression_basis", motion, vertices);
    addExpression(arrays, "joint_basis", motion, joints);
    for (let joint = 0; joint < NUM_JOINTS; joint++) axisAngleToMatrix(motion, ANGLES[joint], rotations[joint]);
    this.#addCorrectives();
    this.#chainTransforms();
    this.#skin(motion);
    return vertices;
  }

  /** Adds pose correctives: their weights are the entries of all rotations but the root's, minus the identity. */
  #addCorrectives() {
    const { arrays, vertices, rotations } = this;
    const { pose_basis, pose_basis_scale, pose_basis_index } = arrays;
    for (let row = 0; row < pose_basis_index.length; row++) {
      const entry = pose_basis_index[row] % 9;
      const rotation = rotations[1 + Math.floor(pose_basis_index[row] / 9)];
      const weight = rotation[entry] - (entry % 4 === 0 ? 1 : 0);
      addDirection(pose_basis, row, weight * pose_basis_scale[row], vertices);
    }
  }

  #chainTransforms() {
    const { arrays, joints, rotations, transforms, centers } = this;
    for (let joint = 0; joint < NUM_JOINTS; joint++) {
      const own = rotations[joint];
      const transform = transforms[joint];
      const parent = arrays.parents[joint];
      const above = parent < 0 ? null : transforms[parent];
      for (let row = 0; row < 3; row++) {
        for (let column = 0; column < 3; column++) {
          transform[4 * row + column] =
            above === null
              ? own[3 * row + column]
              : above[4 * row] * own[column] + above[4 * row + 1] * own[3 + column] + above[4 * row + 2] * own[6 + column];
        }
        // Posed position of the joint: its parents move it, its own rotation does not.
        const at = 3 * joint;
        centers[at + row] =
          above === null
            ? joints[at + row]
            : above[4 * row] * joints[at] +
              above[4 * row + 1] * joints[at + 1] +
              above[4 * row + 2] * joints[at + 2] +
              above[4 * row + 3];
      }
      for (let row = 0; row < 3; row++) {
        const at = 3 * joint;
        transform[4 * row + 3] =
          centers[at + row] -
          transform[4 * row] * joints[at] -
          transform[4 * row + 1] * joints[at + 1] -
          transform[4 * row + 2] * joints[at + 2];
      }
    }
  }

  #skin(motion) {
    const { arrays, vertices, transforms, numVertices } = this;
    const weights = arrays.skinning_weights;
    for (let vertex = 0; vertex < numVertices; vertex++) {
      const at = 3 * vertex;
      const x = vertices[at];
      const y = vertices[at + 1];
      const z = vertices[at + 2];
      let px = motion[0];
      let py = motion[1];
      let pz = motion[2];
      for (let joint = 0; joint < NUM_JOINTS; joint++) {
        const weight = weights[NUM_JOINTS * vertex + joint];
        if (weight === 0) continue;
        const t = transforms[joint];
        px += weight * (t[0] * x + t[1] * y + t[2] * z + t[3]);
        py += weight * (t[4] * x + t[5] * y + t[6] * z + t[7]);
        pz += weight * (t[8] * x + t[9] * y + t[10] * z + t[11]);
      }
      vertices[at] = px;
      vertices[at + 1] = py;
      vertices[at + 2] = pz;
    }
  }
}

/** Adds a basis of expression directions, each weighted by its coefficient of the motion vector. */
function addExpression(arrays, name, motion, out) {
  const index = arrays[`${name}_index`];
  const scale = arrays[`${name}_scale`];
  for (let row = 0; row < index.length; row++) {
    addDirection(arrays[name], row, motion[EXPRESSION + index[row]] * scale[row], out);
  }
}

function addDirection(basis, row, weight, out) {
  if (weight === 0) return;
  const size = out.length;
  const start = row * size;
  for (let i = 0; i < size; i++) out[i] += weight * basis[start + i];
}

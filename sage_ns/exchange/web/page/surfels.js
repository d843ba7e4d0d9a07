// The surfels on the graphics card: placed on their triangles, coloured for the camera, and drawn by Spark.

import { SplatGenerator, dyno } from "@sparkjsdev/spark";
import * as THREE from "three";

import { partOf } from "./avatar_file.js";
import { HIDDEN, LINING, LINING_COLOR } from "./interior.js";

const WIDTH = 2048;
/** Triangles per row of the texture of frames (two texels each) and of the texture of shades (one texel each). */
export const TRIANGLES_PER_ROW = WIDTH / 2;
// Texels of a surfel before those of its colour: quaternion; scales and opacity.
const SHAPE_TEXELS = 2;
// Metres: surfels are enlarged when fewer are drawn, but not beyond this size. Larger faint ones would form a halo.
const GROWN = 0.007;

// Real spherical harmonics with the signs of 3D Gaussian splatting, as in sage_ns.geometry.spherical_harmonics.
const HARMONICS = [
  "0.28209479177387814",
  "-0.4886025119029199 * d.y",
  "0.4886025119029199 * d.z",
  "-0.4886025119029199 * d.x",
  "1.0925484305920792 * d.x * d.y",
  "-1.0925484305920792 * d.y * d.z",
  "0.31539156525252005 * (2.0 * d.z * d.z - d.x * d.x - d.y * d.y)",
  "-1.0925484305920792 * d.x * d.z",
  "0.5462742152960396 * (d.x * d.x - d.y * d.y)",
  "-0.5900435899266435 * d.y * (3.0 * d.x * d.x - d.y * d.y)",
  "2.890611442640554 * d.x * d.y * d.z",
  "-0.4570457994644658 * d.y * (4.0 * d.z * d.z - d.x * d.x - d.y * d.y)",
  "0.3731763325901154 * d.z * (2.0 * d.z * d.z - 3.0 * d.x * d.x - 3.0 * d.y * d.y)",
  "-0.4570457994644658 * d.x * (4.0 * d.z * d.z - d.x * d.x - d.y * d.y)",
  "1.445305721320277 * d.z * (d.x * d.x - d.y * d.y)",
  "-0.5900435899266435 * d.x * (d.x * d.x - 3.0 * d.y * d.y)",
];

/** All surfels, as a generator of splats for Spark. */
export class Surfels {
  constructor(header, body) {
    const arrays = partOf(header, "surfels");
    this.count = arrays.triangle.length;
    this.frames = texture(body.frames, THREE.RGBAFormat, THREE.FloatType, WIDTH);
    this.shade = texture(body.shade, THREE.RedFormat, THREE.FloatType, TRIANGLES_PER_ROW);
    this.cameraCenter = dyno.dynoVec3(new THREE.Vector3());
    this.growth = dyno.dynoFloat(1);
    this.generator = new SplatGenerator({
      numSplats: this.count,
      generator: placement({
        means: dyno.dynoSampler2D(meansTexture(arrays)),
        shapes: dyno.dynoSampler2D(shapesTexture(arrays, header.sh_degree)),
        frames: dyno.dynoSampler2D(this.frames),
        shade: dyno.dynoSampler2D(this.shade),
        cameraCenter: this.cameraCenter,
        growth: this.growth,
        size: header.surfel_size,
        numCoefficients: (header.sh_degree + 1) ** 2,
      }),
    });
  }

  /** Updates the splats after the camera has moved; `moved`: also after the body was posed. */
  update(center, moved) {
    if (moved) this.frames.needsUpdate = true;
    this.shade.needsUpdate = true;
    this.cameraCenter.value.fromArray(center);
    this.generator.updateVersion();
  }

  /** Draws only a share of the surfels, enlarged: the first ones are an even sample of all. */
  thin(share) {
    this.generator.numSplats = Math.max(1, Math.round(share * this.count));
    this.growth.value = 1 / Math.sqrt(share);
    this.generator.updateVersion();
  }
}

function placement({ numCoefficients, size, ...inputs }) {
  const stride = SHAPE_TEXELS + numCoefficients;
  const color = HARMONICS.slice(0, numCoefficients)
    .map((harmonic, i) => `color += ${harmonic} * texelFetch(SHAPES, texel(first + ${SHAPE_TEXELS + i}), 0).rgb;`)
    .join("\n");
  const body = `
    vec4 bound = texelFetch(MEANS, texel(INDEX), 0);
    int triangle = int(bound.w + 0.5);
    float shade = texelFetch(SHADE, ivec2(triangle % ${TRIANGLES_PER_ROW}, triangle / ${TRIANGLES_PER_ROW}), 0).r;
    GSPLAT.flags = 0u;
    if (shade != ${HIDDEN.toFixed(1)}) {
      vec4 frame = texelFetch(FRAMES, texel(2 * triangle), 0);
      vec4 turn = texelFetch(FRAMES, texel(2 * triangle + 1), 0).yzwx;
      int first = ${stride} * INDEX;
      vec4 scales = texelFetch(SHAPES, texel(first + 1), 0);
      GSPLAT.center = frame.w * quatVec(turn, bound.xyz) + frame.xyz;
      GSPLAT.quaternion = quatQuat(turn, texelFetch(SHAPES, texel(first), 0).yzwx);
      vec2 wide = ${size.toFixed(6)} * frame.w * exp(scales.xy);
      GSPLAT.scales = vec3(max(wide, min(GROWTH * wide, ${GROWN})), 0.0);
      vec3 d = normalize(GSPLAT.center - CENTER);
      vec3 color = vec3(0.5);
      ${color}
      vec3 factor = shade == ${LINING.toFixed(1)} ? vec3(${LINING_COLOR.join(", ")}) : vec3(shade);
      GSPLAT.rgba = vec4(max(color, 0.0) * factor, 1.0 / (1.0 + exp(-scales.z)));
      GSPLAT.flags = GSPLAT_FLAG_ACTIVE;
      GSPLAT.index = INDEX;
    }`;
  return dyno.dynoBlock({ index: "int" }, { gsplat: dyno.Gsplat }, ({ index }) =>
    dyno.dyno({
      inTypes: {
        index: "int",
        means: "sampler2D",
        shapes: "sampler2D",
        frames: "sampler2D",
        shade: "sampler2D",
        cameraCenter: "vec3",
        growth: "float",
      },
      outTypes: { gsplat: dyno.Gsplat },
      inputs: { index, ...inputs },
      globals: () => [
        dyno.defineGsplat,
        `ivec2 texel(int number) { return ivec2(number % ${WIDTH}, number / ${WIDTH}); }`,
      ],
      statements: ({ inputs: names, outputs }) =>
        body
          .replaceAll("GSPLAT.", `${outputs.gsplat}.`)
          .replaceAll("INDEX", names.index)
          .replaceAll("MEANS", names.means)
          .replaceAll("SHAPES", names.shapes)
          .replaceAll("FRAMES", names.frames)
          .replaceAll("SHADE", names.shade)
          .replaceAll("CENTER", names.cameraCenter)
          .replaceAll("GROWTH", names.growth)
          .split("\n"),
    }).outputs,
  );
}

/** Makes a texture with one texel per surfel: its centre in its triangle's frame, and the number of the triangle. */
function meansTexture({ means, triangle }) {
  const data = new Float32Array(4 * WIDTH * Math.ceil(triangle.length / WIDTH));
  for (let i = 0; i < triangle.length; i++) {
    for (let k = 0; k < 3; k++) data[4 * i + k] = means[3 * i + k];
    data[4 * i + 3] = triangle[i];
  }
  return texture(data, THREE.RGBAFormat, THREE.FloatType, WIDTH);
}

/** Makes a half-float texture; per surfel: quaternion; log scales and opacity logit; one texel per harmonic. */
function shapesTexture({ quaternions, log_scales, opacity_logits, sh_dc, sh_rest, triangle }, shDegree) {
  const numRest = (shDegree + 1) ** 2 - 1;
  const stride = 4 * (SHAPE_TEXELS + 1 + numRest);
  const data = new Uint16Array(4 * WIDTH * Math.ceil((stride * triangle.length) / (4 * WIDTH)));
  for (let i = 0; i < triangle.length; i++) {
    const at = stride * i;
    data.set(quaternions.subarray(4 * i, 4 * i + 4), at);
    data.set(log_scales.subarray(2 * i, 2 * i + 2), at + 4);
    data[at + 6] = opacity_logits[i];
    data.set(sh_dc.subarray(3 * i, 3 * i + 3), at + 8);
    for (let k = 0; k < numRest; k++) {
      const from = 3 * (numRest * i + k);
      data.set(sh_rest.subarray(from, from + 3), at + 12 + 4 * k);
    }
  }
  return texture(data, THREE.RGBAFormat, THREE.HalfFloatType, WIDTH);
}

function texture(data, format, type, width) {
  const channels = format === THREE.RGBAFormat ? 4 : 1;
  const made = new THREE.DataTexture(data, width, data.length / channels / width, format, type);
  made.needsUpdate = true;
  return made;
}

// The canvas, the camera that orbits the head, and Spark.

import { SparkRenderer } from "@sparkjsdev/spark";
import * as THREE from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

// Rendered pixels per pixel of the page: the browser averages them, which gives smooth edges, as in a photograph.
const SHARPEST = 2;
const MOST_PIXELS = 4e6;
const [NEAREST, FARTHEST] = [0.35, 2.5];

export class Stage {
  constructor(container, portrait) {
    this.container = container;
    this.portrait = portrait;
    this.renderer = new THREE.WebGLRenderer({ alpha: true, antialias: false, powerPreference: "high-performance" });
    this.renderer.setClearColor(0, 0);
    container.append(this.renderer.domElement);
    this.camera = new THREE.PerspectiveCamera();
    this.scene = new THREE.Scene();
    this.isDirty = true;
    this.spark = new SparkRenderer({
      renderer: this.renderer,
      onDirty: () => (this.isDirty = true),
      // Half floats would displace the surfels of a head by half a millimetre.
      accumExtSplats: true,
      enable2DGS: true,
      maxStdDev: 3,
      minAlpha: 1 / 255,
      sortRadial: false,
      enableLod: false,
    });
    this.scene.add(this.spark);
    this.controls = new OrbitControls(this.camera, this.renderer.domElement);
    this.controls.addEventListener("change", () => (this.hasTurned = true));
    this.controls.addEventListener("start", () => (this.isFramed = false));
    this.controls.enablePan = false;
    this.isFramed = true;
    this.sharpness = SHARPEST;
    this.resize();
    new ResizeObserver(() => this.resize()).observe(container);
  }

  /** Moves the camera in front of the face, as in sage_ns.avatar.portrait. */
  frame() {
    const { center, back, across, up, field_of_view, head_fraction } = this.portrait;
    const target = new THREE.Vector3().fromArray(center);
    const height = Math.max(up, across / this.camera.aspect);
    const distance = height / head_fraction / (2 * Math.tan(field_of_view / 2));
    this.look(target.clone().addScaledVector(new THREE.Vector3().fromArray(back), distance), target, field_of_view);
    this.controls.minDistance = NEAREST * distance;
    this.controls.maxDistance = FARTHEST * distance;
    this.isFramed = true;
  }

  /** Points the camera from a position to a target (vectors, metres), with a vertical field of view in radians. */
  look(position, target, fieldOfView) {
    this.camera.fov = (fieldOfView * 180) / Math.PI;
    this.camera.near = 0.01;
    this.camera.far = 100;
    this.camera.updateProjectionMatrix();
    this.camera.position.copy(position);
    this.controls.target.copy(target);
    this.controls.update();
    this.hasTurned = true;
  }

  /** Fits the picture to the size of its container. */
  resize() {
    const { clientWidth: width, clientHeight: height } = this.container;
    if (width === 0 || height === 0) return;
    this.renderer.setSize(width, height);
    this.sharpen(this.sharpness);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    // If the user has moved the camera, its view is kept.
    if (this.isFramed) this.frame();
  }

  /** Sets the number of rendered pixels per pixel of the page. */
  sharpen(sharpness) {
    this.sharpness = sharpness;
    const { clientWidth: width, clientHeight: height } = this.container;
    this.renderer.setPixelRatio(Math.min(sharpness, Math.sqrt(MOST_PIXELS / (width * height))));
    this.isDirty = true;
  }

  /** Returns whether the camera has moved since the last call. */
  takeTurn() {
    const hasTurned = this.hasTurned;
    this.hasTurned = false;
    return hasTurned;
  }

  draw() {
    this.isDirty = false;
    this.renderer.render(this.scene, this.camera);
  }
}

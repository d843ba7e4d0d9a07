// Connects motion, body, surfels and stage, and draws when something has changed.

import { Body } from "./body.js";
import { Motion } from "./motion.js";
import { Pace } from "./pace.js";
import { Stage } from "./stage.js";
import { Surfels, TRIANGLES_PER_ROW } from "./surfels.js";

/** Milliseconds without movement after which the scene counts as still. */
const STILL = 400;

export class Viewer {
  constructor(header, container) {
    this.header = header;
    this.motion = new Motion(header);
    this.body = new Body(header, TRIANGLES_PER_ROW);
    this.stage = new Stage(container, header.portrait);
    this.surfels = new Surfels(header, this.body);
    this.stage.scene.add(this.surfels.generator);
    this.pace = new Pace((share, sharpness) => {
      this.surfels.thin(share);
      this.stage.sharpen(sharpness);
    });
    this.center = new Float32Array(3);
    this.idle = 0;
    this.last = this.lastMove = performance.now();
    this.stage.renderer.setAnimationLoop((now) => this.#step(now));
  }

  /** Whether the picture is up to date, with all surfels drawn and sorted. */
  get isSettled() {
    return this.idle > 2 && this.pace.shown === 0 && !this.stage.spark.sorting;
  }

  /** Resets pose, camera and clip. */
  reset() {
    this.motion.reset();
    this.stage.frame();
  }

  #step(now) {
    const seconds = Math.min((now - this.last) / 1000, 1);
    this.last = now;
    const moved = this.motion.advance(seconds);
    const turned = this.stage.takeTurn();
    if (moved || turned) {
      if (moved) this.body.pose(this.motion.vector);
      this.stage.camera.position.toArray(this.center);
      this.body.light(this.center);
      this.surfels.update(this.center, moved);
      this.pace.moving(this.wasMoving ? seconds : 0);
      this.lastMove = now;
    } else if (now - this.lastMove > STILL) {
      this.pace.resting();
    }
    this.wasMoving = moved || turned;
    if (!moved && !turned && !this.stage.isDirty) {
      this.idle += 1;
      return;
    }
    this.idle = 0;
    this.stage.draw();
  }
}

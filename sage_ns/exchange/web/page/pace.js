// Adapts the load to slow machines: if frames take too long while something moves, fewer surfels and pixels are drawn
// until the movement ends.

/** Seconds per frame above which a frame counts as slow. */
const SLOW = 0.055;
/** Seconds of slow frames after which the next level is used. */
const PATIENCE = 1;
/** Largest duration in seconds that a frame counts with: a long pause can also come from a tab in the background. */
const LONGEST = 0.4;
/** Share of the surfels, and pixels per pixel of the page, at each level. */
const LEVELS = [
  [1, 2],
  [1, 1],
  [0.5, 1],
  [0.35, 0.75],
];

export class Pace {
  /** `show(share, sharpness)` is called whenever the level changes. */
  constructor(show) {
    this.show = show;
    this.level = 0;
    this.shown = 0;
    this.slowFor = 0;
  }

  /** Call this for every frame during movement, with the seconds since the previous frame. */
  moving(seconds) {
    this.slowFor = seconds > SLOW ? this.slowFor + Math.min(seconds, LONGEST) : Math.max(0, this.slowFor - 2 * seconds);
    if (this.slowFor > PATIENCE && this.level + 1 < LEVELS.length) {
      this.level += 1;
      this.slowFor = 0;
    }
    this.#change(this.level);
  }

  /** Call this when nothing moves: all surfels are drawn. */
  resting() {
    this.#change(0);
  }

  #change(level) {
    if (level === this.shown) return;
    this.shown = level;
    this.show(...LEVELS[level]);
  }
}

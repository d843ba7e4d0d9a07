// Keeps slow machines usable: where pictures come too slowly while something moves, fewer surfels and pixels are drawn
// until it is still again.

const SLOW = 0.055;
const PATIENCE = 1;
// One long pause, such as that of a tab in the background, says nothing about the machine.
const LONGEST = 0.4;
/** Share of the surfels, and pixels per pixel of the page, from one level to the next. */
const LEVELS = [
  [1, 2],
  [1, 1],
  [0.5, 1],
  [0.35, 0.75],
];

export class Pace {
  /** `show(share, sharpness)` is called whenever another level is to be shown. */
  constructor(show) {
    this.show = show;
    this.level = 0;
    this.shown = 0;
    this.slowFor = 0;
  }

  /** To be called with every picture of something that moves: seconds since the one before. */
  moving(seconds) {
    this.slowFor = seconds > SLOW ? this.slowFor + Math.min(seconds, LONGEST) : Math.max(0, this.slowFor - 2 * seconds);
    if (this.slowFor > PATIENCE && this.level + 1 < LEVELS.length) {
      this.level += 1;
      this.slowFor = 0;
    }
    this.#change(this.level);
  }

  /** To be called when nothing moves: there is time for all surfels. */
  resting() {
    this.#change(0);
  }

  #change(level) {
    if (level === this.shown) return;
    this.shown = level;
    this.show(...LEVELS[level]);
  }
}

// The motion vector of the picture: a moment of the clip, or the neutral pose, plus the sliders' values.

export class Motion {
  constructor(header) {
    this.neutral = Float32Array.from(header.neutral);
    this.size = this.neutral.length;
    this.clip = header.arrays["clip.motion"] ?? null;
    this.fps = header.fps;
    this.numRows = this.clip ? this.clip.length / this.size : 0;
    this.sliders = header.sliders.map((slider) => ({ ...slider, value: 0 }));
    this.vector = new Float32Array(this.neutral);
    this.position = 0;
    this.isPlaying = false;
    this.reset();
  }

  /** Duration of the clip in seconds. */
  get duration() {
    return this.numRows / this.fps;
  }

  play() {
    this.isPlaying = this.numRows > 0;
    this.isNeutral = !this.isPlaying && this.isNeutral;
  }

  pause() {
    this.isPlaying = false;
  }

  /** Returns to the neutral pose and to the beginning of the clip. */
  reset() {
    this.pause();
    this.isNeutral = true;
    this.position = 0;
    for (const slider of this.sliders) slider.value = 0;
    this.hasChanged = true;
  }

  setSlider(name, value) {
    const slider = this.sliders.find((each) => each.name === name);
    if (!slider) throw new Error(`no slider '${name}'; use one of ${this.sliders.map((each) => each.name).join(", ")}`);
    slider.value = value;
    this.hasChanged = true;
  }

  /** Advances the clip by some seconds. Returns whether the motion vector has changed. */
  advance(seconds) {
    if (this.isPlaying) {
      this.position = (this.position + seconds * this.fps) % this.numRows;
      this.hasChanged = true;
    }
    if (!this.hasChanged) return false;
    this.hasChanged = false;
    if (this.isNeutral) this.vector.set(this.neutral);
    else this.#readClip();
    for (const { value, up, down } of this.sliders) {
      if (value === 0) continue;
      for (const [entry, weight] of value > 0 ? up : down) this.vector[entry] += Math.abs(value) * weight;
    }
    return true;
  }

  /** Interpolates rows linearly, also angles, because rows are close in time; not from the last row to the first. */
  #readClip() {
    const { clip, size, vector } = this;
    const row = Math.min(Math.floor(this.position), this.numRows - 1);
    const next = Math.min(row + 1, this.numRows - 1);
    const fraction = this.position - row;
    for (let i = 0; i < size; i++) {
      const from = clip[row * size + i];
      vector[i] = from + fraction * (clip[next * size + i] - from);
    }
  }
}

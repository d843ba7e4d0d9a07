// The controls: sliders by group, play and pause, reset.

export class Panel {
  constructor(viewer, sliders, buttons) {
    this.viewer = viewer;
    this.rows = viewer.motion.sliders.map((slider) => this.#row(slider));
    for (const group of new Set(viewer.motion.sliders.map((slider) => slider.group))) {
      const section = element("fieldset", {}, [element("legend", { textContent: group })]);
      section.append(...this.rows.filter((row) => row.slider.group === group).map((row) => row.node));
      sliders.append(section);
    }
    this.playButton = button("Play", "play", () => this.toggle());
    this.playButton.hidden = viewer.motion.numRows === 0;
    const reset = button("Reset", "reset", () => {
      viewer.reset();
      this.show();
    });
    buttons.append(this.playButton, reset);
    this.show();
  }

  /** Starts or stops the clip. */
  toggle() {
    const { motion } = this.viewer;
    if (motion.isPlaying) motion.pause();
    else motion.play();
    this.show();
  }

  /** Updates the controls from the motion's state. */
  show() {
    this.playButton.textContent = this.viewer.motion.isPlaying ? "Pause" : "Play";
    for (const { slider, input } of this.rows) input.value = slider.value;
  }

  #row(slider) {
    const { name, low, high } = slider;
    const input = element("input", { type: "range", id: name, min: low, max: high, step: (high - low) / 200, value: 0 });
    input.addEventListener("input", () => this.viewer.motion.setSlider(name, input.valueAsNumber));
    const label = element("label", { htmlFor: name, textContent: name });
    return { slider, input, node: element("div", { className: "slider" }, [label, input]) };
  }
}

function button(text, id, action) {
  const made = element("button", { type: "button", id, textContent: text });
  made.addEventListener("click", action);
  return made;
}

function element(tag, properties, children = []) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

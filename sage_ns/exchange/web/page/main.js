// Loads the avatar and starts the viewer. With `?still` in the address, the clip does not start automatically.
// Other scripts can use the running viewer as `window.viewer`: its motion, stage and sliders.

import { readAvatar } from "./avatar_file.js";
import { hideNotice, showNotice } from "./notice.js";

const DATA = "avatar.bin";

async function start() {
  if (!document.createElement("canvas").getContext("webgl2")) {
    showNotice("This page needs WebGL 2, which this browser lacks or has switched off. Try a current browser.");
    return;
  }
  showNotice("Loading …");
  const [response, { Viewer }, { Panel }] = await Promise.all([
    fetch(DATA),
    import("./viewer.js"),
    import("./panel.js"),
  ]);
  if (!response.ok) throw new Error(`${DATA}: ${response.status} ${response.statusText}`);
  const header = readAvatar(await response.arrayBuffer());
  const stage = document.getElementById("stage");
  const [red, green, blue] = header.background.map((channel) => Math.round(255 * channel));
  stage.style.background = `rgb(${red} ${green} ${blue})`;
  const viewer = new Viewer(header, stage);
  const panel = new Panel(viewer, document.getElementById("sliders"), document.getElementById("buttons"));
  const wantsStill = new URLSearchParams(location.search).has("still");
  const prefersStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (!wantsStill && !prefersStill && viewer.motion.numRows > 0) panel.toggle();
  window.viewer = viewer;
  hideNotice();
}

start().catch((error) => {
  console.error(error);
  showNotice(`The avatar could not be shown: ${error.message}`);
});

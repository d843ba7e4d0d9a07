// Loads the avatar and starts. `?still` keeps the clip from starting by itself.
// Other scripts find the running viewer as `window.viewer`: its motion, stage and sliders.

import { readAvatar } from "./avatar_file.js";
import { say, silence } from "./notice.js";

const DATA = "avatar.bin";

async function start() {
  if (!document.createElement("canvas").getContext("webgl2")) {
    say("This page needs WebGL 2, which this browser does not have or has switched off. Try a current browser.");
    return;
  }
  say("Loading …");
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
  silence();
}

start().catch((error) => {
  console.error(error);
  say(`The avatar could not be shown: ${error.message}`);
});

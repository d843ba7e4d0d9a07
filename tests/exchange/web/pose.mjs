// Poses an exported avatar without a browser: node pose.mjs FOLDER REQUEST.json OUT
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, request, out] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${folder}/${name}`));
const [{ readAvatar }, { Body }, { Motion }] = await Promise.all(["avatar_file.js", "body.js", "motion.js"].map(load));
const file = readFileSync(`${folder}/avatar.bin`);
const header = readAvatar(file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength));
const { motion, center, sliders, seconds } = JSON.parse(readFileSync(request));
const body = new Body(header);
body.pose(Float32Array.from(motion));
body.light(center);
writeFileSync(`${out}.vertices`, body.rig.vertices);
writeFileSync(`${out}.frames`, body.frames);
writeFileSync(`${out}.shade`, body.shade);

const player = new Motion(header);
const vectors = [Float32Array.from(player.vector)];
for (const [name, value] of Object.entries(sliders)) player.setSlider(name, value);
player.advance(0);
vectors.push(Float32Array.from(player.vector));
player.reset();
player.play();
player.advance(seconds);
vectors.push(Float32Array.from(player.vector));
writeFileSync(`${out}.vectors`, Buffer.concat(vectors.map((vector) => Buffer.from(vector.buffer))));

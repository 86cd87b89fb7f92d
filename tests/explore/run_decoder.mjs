// Runs recorded decoders for the Python tests: a JSON object a line on stdin, and one on stdout for each.
// node run_decoder.mjs BUNDLE, a script that sets globalThis.latentkitExplorer.
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import vm from "node:vm";

vm.runInThisContext(`${readFileSync(process.argv[2], "utf8")}\n;globalThis.latentkitExplorer = latentkitExplorer;`);
const { createDecoder, largestDifference } = globalThis.latentkitExplorer;

const floats = (path) => {
  const bytes = readFileSync(path);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
};

async function answer({ folder, plain, repeats }) {
  const weights = floats(`${folder}/weights.bin`);
  const latents = floats(`${folder}/latents.bin`);
  const program = JSON.parse(readFileSync(`${folder}/program.json`, "utf8"));
  const start = performance.now();
  const decoder = await createDecoder(program, weights, plain);
  const made = performance.now() - start;
  const width = program.latent;
  const images = [];
  for (let i = 0; i < latents.length / width; i++) {
    images.push(Float32Array.from(decoder.decode(latents.subarray(i * width, (i + 1) * width))));
  }
  writeFileSync(`${folder}/images.bin`, Buffer.concat(images.map((one) => Buffer.from(one.buffer))));
  const times = [];
  for (let i = 0; i < (repeats ?? 0); i++) {
    const begin = performance.now();
    decoder.decode(latents.subarray(0, width));
    times.push(performance.now() - begin);
  }
  times.sort((a, b) => a - b);
  const all = new Float32Array(images.flatMap((one) => [...one]));
  return { shape: decoder.shape, made, median: times[times.length >> 1] ?? null, self: largestDifference(decoder, latents, all) };
}

for await (const line of createInterface({ input: process.stdin })) {
  let found;
  try {
    found = await answer(JSON.parse(line));
  } catch (error) {
    found = { error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(found)}\n`);
}

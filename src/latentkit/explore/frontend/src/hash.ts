// The state as the fragment of the page's address: short, and safe to read from anybody.

import { type Dataset } from "./data/dataset";
import { fromBase64 } from "./data/bytes";
import { EMPTY, initialState, type Panel, type State, type Tool } from "./store";

const TOOLS: readonly Tool[] = ["pan", "lasso", "rectangle", "decode", "turn"];
const PANELS: readonly Panel[] = ["item", "selection", "decode", "compare", "classes"];
const FLAGS = ["distances", "density", "names", "thumbnails"] as const;
/** Characters of a selection beyond which it is left out of the address. */
const MOST = 200_000;

/** The state without what is as it was at the start. */
export function toHash(state: State, start: State): string {
  const parts: string[] = [];
  const add = (name: string, value: string): void => {
    parts.push(`${name}=${encodeURIComponent(value).replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%2C", ",")}`);
  };
  if (state.maps.join() !== start.maps.join()) add("maps", state.maps.join());
  if (state.colour !== start.colour) add("colour", state.colour);
  if (state.hidden.size) add("hidden", packItems(Uint32Array.from(state.hidden).sort()));
  if (state.range) add("range", state.range.map((end) => String(end)).join());
  if (state.selection.length) {
    const packed = packItems(state.selection);
    if (packed.length <= MOST) add("selected", packed);
  }
  if (state.pinned >= 0) add("item", String(state.pinned));
  if (state.tool !== "pan") add("tool", state.tool);
  if (state.panel !== start.panel) add("panel", state.panel);
  for (const flag of FLAGS) if (state[flag] !== start[flag]) add(flag, state[flag] ? "1" : "0");
  if (state.neighbours !== start.neighbours) add("neighbours", String(state.neighbours));
  if (state.plane.join() !== start.plane.join()) add("plane", state.plane.join());
  if (state.track.length > 1) add("track", `${state.track.join()},${state.progress.toFixed(3)}`);
  if (state.latent && state.panel === "decode" && state.latent.length <= 512) add("latent", `${state.latentRun}:${toBase64(new Uint8Array(state.latent.buffer, state.latent.byteOffset, state.latent.byteLength))}`);
  if (state.camera) add("view", [state.camera.x, state.camera.y, state.camera.zoom].map((value) => Number(value.toPrecision(6))).join());
  return parts.join("&");
}

/** What a fragment says, without anything that this page does not have. */
export function fromHash(hash: string, data: Dataset): Partial<State> {
  const values = new Map<string, string>();
  for (const part of hash.replace(/^#/, "").split("&")) {
    const [name = "", value = ""] = part.split("=", 2);
    try {
      values.set(name, decodeURIComponent(value));
    } catch {
      // A part that is not text is left out.
    }
  }
  const patch: Partial<State> = {};
  const take = (name: string, use: (value: string) => void): void => {
    const value = values.get(name);
    if (value !== undefined) use(value);
  };
  take("maps", (value) => {
    const maps = value.split(",").filter((id) => data.map(id)).slice(0, 2);
    if (maps.length) patch.maps = maps;
  });
  take("colour", (value) => (patch.colour = value));
  take("hidden", (value) => (patch.hidden = new Set(unpackItems(value, 1 << 16))));
  take("range", (value) => {
    const [low = NaN, high = NaN] = value.split(",").map(Number);
    if (low < high) patch.range = [low, high];
  });
  take("selected", (value) => (patch.selection = unpackItems(value, data.count)));
  take("item", (value) => {
    const item = Number(value);
    if (Number.isInteger(item) && item >= 0 && item < data.count) patch.pinned = item;
  });
  take("tool", (value) => (patch.tool = TOOLS.find((tool) => tool === value) ?? "pan"));
  take("panel", (value) => (patch.panel = PANELS.find((panel) => panel === value && (panel !== "classes" || data.hasPredictions)) ?? "item"));
  for (const flag of FLAGS) take(flag, (value) => (patch[flag] = value === "1"));
  take("neighbours", (value) => (patch.neighbours = Math.max(1, Math.min(100, Math.round(Number(value)) || 10))));
  take("plane", (value) => {
    const [x = -1, y = -1] = value.split(",").map(Number);
    if (data.map(`0/plane:${x}:${y}`)) patch.plane = [x, y];
  });
  take("track", (value) => {
    const stops = value.split(",");
    const progress = Number(stops.pop());
    if (stops.length > 1 && stops.every((id) => data.map(id)) && progress >= 0) {
      patch.track = stops;
      patch.progress = Math.min(stops.length - 1, progress);
    }
  });
  take("latent", (value) => {
    const [run = "", packed = ""] = value.split(":", 2);
    const latent = floats(packed);
    if (latent && data.spaces[Number(run)]?.dim === latent.length && latent.every((one) => Number.isFinite(one))) {
      patch.latent = latent;
      patch.latentRun = Number(run);
      patch.latentFrom = "from the address";
    }
  });
  take("view", (value) => {
    const [x = NaN, y = NaN, zoom = NaN] = value.split(",").map(Number);
    if (Number.isFinite(x) && Number.isFinite(y) && zoom > 0 && zoom < 1e9) patch.camera = { x, y, zoom };
  });
  return patch;
}

/** All that a fragment may set, as it was at the start: what a fragment leaves out goes back to it. */
export function withoutHash(start: State): Partial<State> {
  const { hovered, maps, colour, plane } = start;
  return { ...initialState(), hovered, maps, colour, plane };
}

/** Ascending numbers in few characters: differences, or one bit for each, whichever is shorter. */
export function packItems(items: Uint32Array): string {
  const differences: number[] = [];
  let before = -1;
  for (const item of items) {
    let step = item - before - 1;
    before = item;
    for (; step > 127; step >>>= 7) differences.push((step & 127) | 128);
    differences.push(step);
  }
  const bits = Math.floor((items.at(-1) ?? 0) / 8) + 1;
  if (differences.length <= bits) return `d${toBase64(Uint8Array.from(differences))}`;
  const set = new Uint8Array(bits);
  for (const item of items) set[item >> 3]! |= 1 << (item & 7);
  return `b${toBase64(set)}`;
}

export function unpackItems(text: string, count: number): Uint32Array {
  const bytes = fromBase64Url(text.slice(1));
  if (!bytes) return EMPTY;
  const items: number[] = [];
  if (text.startsWith("b")) {
    for (let item = 0; item < Math.min(count, bytes.length * 8); item++) if (bytes[item >> 3]! & (1 << (item & 7))) items.push(item);
  } else {
    let item = -1;
    for (let i = 0; i < bytes.length; i++) {
      let step = 0;
      let shift = 1;
      for (; bytes[i]! > 127; i++, shift *= 128) step += (bytes[i]! & 127) * shift;
      item += step + (bytes[i] ?? 0) * shift + 1;
      if (item >= count) break;
      items.push(item);
    }
  }
  return Uint32Array.from(items);
}

function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function fromBase64Url(text: string): Uint8Array | null {
  try {
    const plain = text.replaceAll("-", "+").replaceAll("_", "/");
    return fromBase64(plain.padEnd(Math.ceil(plain.length / 4) * 4, "="));
  } catch {
    return null;
  }
}

function floats(text: string): Float32Array | null {
  const bytes = fromBase64Url(text);
  if (!bytes || bytes.length % 4) return null;
  return new Float32Array(bytes.slice().buffer);
}

// The colour, shape and rank of every point, from what the user has set.

import { type Dataset, type Lazy, type LatentMap } from "./data/dataset";
import { distancesTo } from "./geometry/nearest";
import { classColour, classShape, numberRamp, packed } from "./palette";
import { type State } from "./store";

export interface NumberScale {
  kind: "number";
  name: string;
  about: string;
  values: Float32Array;
  /** Values at the ends of the colours; outliers beyond have the end's colour. */
  low: number;
  high: number;
}

export interface ClassScale {
  kind: "class";
  name: string;
  about: string;
  labels: Int32Array | Float32Array;
  names: string[];
}

export type ColourScale = NumberScale | ClassScale | { kind: "none"; name: string; about: string };

export interface Choice {
  value: string;
  text: string;
  group: string;
}

/** All that points can be coloured by in a map. */
export function colourChoices(data: Dataset, map: LatentMap | null): Choice[] {
  const found: Choice[] = [];
  if (data.labels) found.push({ value: "class", text: "Class", group: "Items" });
  if (data.splitNames.length > 1) found.push({ value: "split", text: "Split", group: "Items" });
  for (const { header } of map?.space.columns ?? []) {
    found.push({ value: `column:${header.key}`, text: header.name, group: "Items" });
  }
  if (map?.trust) found.push({ value: "trust", text: "Trust of this map", group: "Items" });
  if (map?.space.latents) {
    const { sigma } = map.space.header;
    for (const d of map.space.order) {
      found.push({ value: `latent:${d}`, text: `z${d}${(sigma[d] ?? 1) > 1e-6 ? "" : " (unused)"}`, group: "Latents, most used first" });
    }
  }
  found.push({ value: "none", text: "Nothing", group: "Items" });
  return found.sort((a, b) => Number(a.group > b.group) - Number(a.group < b.group));
}

const NONE: ColourScale = { kind: "none", name: "Nothing", about: "" };

/** The scale for a choice; null while its values are being read, which `loaded` is given. */
export function colourScale(data: Dataset, map: LatentMap | null, colour: string, loaded: (reading: Promise<unknown>) => void): ColourScale | null {
  const [kind, key = ""] = colour.split(":", 2);
  if (kind === "class" && data.labels) {
    return { kind: "class", name: "Class", about: "", labels: data.labels, names: data.classNames };
  }
  if (kind === "split" && data.splits) {
    return { kind: "class", name: "Split", about: "", labels: data.splits, names: data.splitNames };
  }
  if (kind === "column") {
    const column = map?.space.columns.find((one) => one.header.key === key);
    if (!column) return NONE;
    const { name, about, names } = column.header;
    const values = column.values.now;
    if (!values) return waiting(column.values, loaded);
    if (column.header.kind === "class") return { kind: "class", name, about, labels: values, names: names ?? [] };
    return numberScale(name, about, values);
  }
  if (kind === "trust" && map?.trust) {
    const values = map.trust.now;
    if (!values) return waiting(map.trust, loaded);
    return numberScale("Trust of this map", "Near 1: the neighbours on the map are true ones.", values);
  }
  if (kind === "latent" && map?.space.latents) {
    const values = map.space.latents.now;
    const { dim } = map.space;
    const d = Number(key);
    if (!(d >= 0 && d < dim)) return NONE;
    if (!values) return waiting(map.space.latents, loaded);
    return numberScale(`Latent z${d}`, "", columnOf(values, dim, d));
  }
  return NONE;
}

const columns = new WeakMap<Float32Array, Map<number, Float32Array>>();

function columnOf(values: Float32Array, dim: number, d: number): Float32Array {
  let known = columns.get(values);
  if (!known) columns.set(values, (known = new Map<number, Float32Array>()));
  let column = known.get(d);
  if (!column) {
    column = new Float32Array(values.length / dim);
    for (let i = 0; i < column.length; i++) column[i] = values[i * dim + d]!;
    known.set(d, column);
  }
  return column;
}

/** Nothing yet; values that cannot be read colour nothing. */
function waiting(values: Lazy<unknown>, loaded: (reading: Promise<unknown>) => void): ColourScale | null {
  if (values.failed) return NONE;
  loaded(values.get());
  return null;
}

const ends = new WeakMap<Float32Array, [number, number]>();

function numberScale(name: string, about: string, values: Float32Array): NumberScale {
  let range = ends.get(values);
  if (!range) {
    range = middleRange(values, 0.01);
    ends.set(values, range);
  }
  return { kind: "number", name, about, values, low: range[0], high: range[1] };
}

/** Values between which all but a share at each end lie; from at most 20,000 values. */
export function middleRange(values: ArrayLike<number>, share: number): [number, number] {
  const step = Math.max(1, Math.ceil(values.length / 20_000));
  const sample: number[] = [];
  for (let i = 0; i < values.length; i += step) {
    const value = values[i]!;
    if (Number.isFinite(value)) sample.push(value);
  }
  if (sample.length === 0) return [0, 1];
  const sorted = Float64Array.from(sample).sort();
  const low = sorted[Math.floor(share * (sorted.length - 1))]!;
  const high = sorted[Math.ceil((1 - share) * (sorted.length - 1))]!;
  return low < high ? [low, high] : [low - 0.5, high + 0.5];
}

export interface Paint {
  colours: Uint32Array;
  shapes: Uint8Array | null;
  /** 1 for points that the filter of classes or values lets through, selected or not. */
  passed: Uint8Array;
  /** Points that are let through and selected, drawn last. */
  front: Uint32Array;
  /** The other points, greyed. */
  back: Uint32Array;
}

/** Colours of all points. */
export function paint(count: number, scale: ColourScale | null, state: State, dark: boolean): Paint {
  const colours = new Uint32Array(count);
  let shapes: Uint8Array | null = null;
  const passed = new Uint8Array(count).fill(1);
  if (scale?.kind === "class") {
    const { labels, names } = scale;
    const palette = Uint32Array.from({ length: Math.max(1, names.length) }, (_, i) => packed(classColour(i)));
    const unknown = packed(classColour(-1));
    if (names.length > 10) shapes = new Uint8Array(count);
    for (let i = 0; i < count; i++) {
      const label = labels[i]!;
      colours[i] = label < 0 ? unknown : palette[label]!;
      if (shapes) shapes[i] = classShape(label);
      if (state.hidden.size && state.hidden.has(label)) passed[i] = 0;
    }
  } else if (scale?.kind === "number") {
    rampColours(scale.values, scale.low, scale.high, dark, colours);
    if (state.range) {
      const [low, high] = state.range;
      for (let i = 0; i < count; i++) if (!(scale.values[i]! >= low && scale.values[i]! <= high)) passed[i] = 0;
    }
  } else {
    colours.fill(packed(dark ? "#7db3e8" : "#3f90da"));
  }
  return { colours, shapes, passed, ...ranked(count, passed, state.selection) };
}

function rampColours(values: Float32Array, low: number, high: number, dark: boolean, colours: Uint32Array): void {
  const ramp = numberRamp(dark);
  const factor = (ramp.length - 1) / (high - low);
  for (let i = 0; i < colours.length; i++) {
    const place = (values[i]! - low) * factor;
    colours[i] = place <= 0 ? ramp[0]! : place >= ramp.length - 1 ? ramp[ramp.length - 1]! : ramp[Math.round(place) || 0]!;
  }
}

function ranked(count: number, passed: Uint8Array, selection: Uint32Array): { front: Uint32Array; back: Uint32Array } {
  let shown = passed;
  if (selection.length) {
    shown = new Uint8Array(count);
    for (const item of selection) shown[item] = passed[item]!;
  }
  let front = 0;
  for (let i = 0; i < count; i++) front += shown[i]!;
  const result = { front: new Uint32Array(front), back: new Uint32Array(count - front) };
  let [f, b] = [0, 0];
  for (let i = 0; i < count; i++) {
    if (shown[i]) result.front[f++] = i;
    else result.back[b++] = i;
  }
  return result;
}

/** Colours by the distance to one item: near items are bright on dark, dark on light. */
export class DistancePaint {
  private readonly distances: Float32Array;
  private readonly colours: Uint32Array;
  private measured = -1;
  private painted = "";

  constructor(count: number) {
    this.distances = new Float32Array(count);
    this.colours = new Uint32Array(count);
  }

  /** Distances of all items to one of them; they are kept until another is asked for. */
  measure(latents: Float32Array, dim: number, item: number): Float32Array {
    if (item !== this.measured) {
      distancesTo(latents, dim, latents.subarray(item * dim, (item + 1) * dim), this.distances);
      this.measured = item;
    }
    return this.distances;
  }

  paint(latents: Float32Array, dim: number, item: number, dark: boolean, base: Paint): Paint {
    const key = `${item} ${dark}`;
    if (key !== this.painted) {
      const distances = this.measure(latents, dim, item);
      // The scale ends at the typical distance, so that what is near is told apart.
      const ramp = numberRamp(dark);
      const last = ramp.length - 1;
      const factor = last / (typical(distances) || 1);
      for (let i = 0; i < distances.length; i++) {
        const place = Math.round(Math.min(last, distances[i]! * factor));
        this.colours[i] = ramp[dark ? last - place : place]!;
      }
      this.painted = key;
    }
    return { ...base, colours: this.colours };
  }
}

/** The middle distance of up to 500 items. */
function typical(distances: Float32Array): number {
  const step = Math.max(1, Math.floor(distances.length / 500));
  const sample: number[] = [];
  for (let i = 0; i < distances.length; i += step) sample.push(distances[i]!);
  return Float64Array.from(sample).sort()[Math.floor(sample.length / 2)] ?? 1;
}

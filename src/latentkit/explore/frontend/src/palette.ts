// Colours that people with any colour vision can tell apart, and shapes beyond ten classes.

import { interpolateViridis } from "d3-scale-chromatic";

/** M. A. Petroff, "Accessible color sequences for data visualization" (2021), ten colours. */
export const PETROFF10 = [
  "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
] as const;

export const SHAPES = ["disc", "square", "triangle", "diamond", "plus", "ring"] as const;
export type Shape = (typeof SHAPES)[number];

/** Classes that have a mark of their own; beyond, marks repeat. */
export const DISTINCT = PETROFF10.length * SHAPES.length;

export function classColour(label: number): string {
  return label < 0 ? "#9a9a9a" : PETROFF10[label % PETROFF10.length]!;
}

/** Number of the shape of a class: a disc for the first ten, a square for the next ten, and so on. */
export function classShape(label: number): number {
  return label < 0 ? 0 : Math.floor(label / PETROFF10.length) % SHAPES.length;
}

/** What the marks mean, if they are not one colour a class; null otherwise. */
export function markRule(classes: number): string | null {
  if (classes <= PETROFF10.length) return null;
  if (classes <= DISTINCT) return "Colours repeat after ten classes; the shape tells classes of one colour apart.";
  return `Marks repeat after ${DISTINCT} classes. Point at an item, or search, to be certain of its class.`;
}

/** Red, green and blue in one number, as pixels of an ImageData are stored. */
export function packed(colour: string): number {
  const value = parseInt(colour.slice(1), 16);
  return (0xff000000 | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

/** Any CSS colour of the form #rrggbb or rgb(r, g, b) as a number. */
export function packedCss(colour: string): number {
  if (colour.startsWith("#")) return packed(colour);
  const parts = colour.match(/[\d.]+/g) ?? ["0", "0", "0"];
  const [r, g, b] = [Number(parts[0]), Number(parts[1]), Number(parts[2])];
  return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
}

const STEPS = 256;
let ramp: { light: Uint32Array; dark: Uint32Array } | null = null;

/** Viridis without the end that hardly shows on the background. */
export function numberRamp(dark: boolean): Uint32Array {
  ramp ??= { light: rampOf(0, 0.94), dark: rampOf(0.12, 1) };
  return dark ? ramp.dark : ramp.light;
}

function rampOf(from: number, to: number): Uint32Array {
  return Uint32Array.from({ length: STEPS }, (_, i) =>
    packedCss(interpolateViridis(from + ((to - from) * i) / (STEPS - 1))),
  );
}

/** A packed colour as CSS. */
export function css(colour: number): string {
  return `rgb(${colour & 255}, ${(colour >> 8) & 255}, ${(colour >> 16) & 255})`;
}

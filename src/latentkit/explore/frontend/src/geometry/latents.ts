// Latents from places on maps, between items, and from distributions.

import { type LinearInverse } from "../layout";

/** The latent of a place on a linear map. */
export function linearLatent(inverse: LinearInverse, scale: number, centre: readonly number[], place: readonly number[]): Float32Array {
  const latent = Float32Array.from(inverse.mean);
  inverse.axes.forEach((axis, d) => {
    const coordinate = (centre[d] ?? 0) + scale * (place[d] ?? 0);
    for (let i = 0; i < latent.length; i++) latent[i]! += coordinate * axis[i]!;
  });
  return latent;
}

/** The mean of some rows, weighted by the inverse of their distance on the map. */
export function blended(values: Float32Array, dim: number, items: readonly number[], distances: readonly number[]): Float32Array {
  const latent = new Float64Array(dim);
  const floor = 1e-9 + 0.01 * (distances[distances.length - 1] ?? 0);
  let total = 0;
  items.forEach((item, place) => {
    const weight = 1 / (distances[place]! + floor);
    total += weight;
    for (let d = 0; d < dim; d++) latent[d]! += weight * values[item * dim + d]!;
  });
  return Float32Array.from(latent, (value) => value / (total || 1));
}

/** The mean of some rows. */
export function meanLatent(values: Float32Array, dim: number, items: ArrayLike<number>): Float32Array {
  const sums = new Float64Array(dim);
  for (let i = 0; i < items.length; i++) {
    for (let d = 0; d < dim; d++) sums[d]! += values[items[i]! * dim + d]!;
  }
  return Float32Array.from(sums, (sum) => sum / Math.max(1, items.length));
}

/** A point between two latents: 0 is the first, 1 the second. */
export function onLine(a: Float32Array, b: Float32Array, part: number): Float32Array {
  return a.map((value, d) => value + part * (b[d]! - value));
}

/** A point on a way along several latents: from 0 to 1 by length. */
export function onPath(corners: readonly Float32Array[], part: number): Float32Array {
  const lengths = corners.slice(1).map((corner, i) => Math.hypot(...corner.map((value, d) => value - corners[i]![d]!)));
  const total = lengths.reduce((sum, length) => sum + length, 0);
  let left = Math.max(0, Math.min(1, part)) * total;
  for (let i = 0; i < lengths.length; i++) {
    if (left <= lengths[i]! || i === lengths.length - 1) return onLine(corners[i]!, corners[i + 1]!, lengths[i]! ? Math.min(1, left / lengths[i]!) : 0);
    left -= lengths[i]!;
  }
  return corners[0]!;
}

export type Random = () => number;

/** A generator of numbers in [0, 1) that repeats for a seed (mulberry32). */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A draw from the standard normal distribution (Box and Muller). */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

export interface MixtureArrays {
  weights: readonly number[];
  means: Float32Array;
  /** Lower triangles (K, D, D), or standard deviations (K, D). */
  cholesky: Float32Array;
}

/** A draw from a mixture of normal distributions. */
export function drawMixture({ weights, means, cholesky }: MixtureArrays, dim: number, random: Random): Float32Array {
  let left = random();
  let component = 0;
  while (component < weights.length - 1 && left >= weights[component]!) left -= weights[component++]!;
  const noise = Float64Array.from({ length: dim }, () => normal(random));
  const full = cholesky.length === weights.length * dim * dim && dim > 1;
  return Float32Array.from({ length: dim }, (_, row) => {
    let value = means[component * dim + row]!;
    if (!full) return value + cholesky[component * dim + row]! * noise[row]!;
    for (let column = 0; column <= row; column++) value += cholesky[(component * dim + row) * dim + column]! * noise[column]!;
    return value;
  });
}

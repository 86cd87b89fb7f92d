// The latent under a place of a map, and how it was found, in words.

import { type App } from "../app";
import { type LatentMap, PLANE_SIGMAS } from "../data/dataset";
import { blended, linearLatent } from "../geometry/latents";
import { MapPlacement, type Placement } from "./placement";

/** Items whose latents are blended where a map has no inverse. */
const BLENDED = 8;

/** Whether a place of the map has a latent of its own: not while points are between two maps. */
export function hasInverse(map: LatentMap, placement: Placement): boolean {
  return placement instanceof MapPlacement && placement.map === map && (map.isPlane || (map.header.inverse !== null && map.header.dims === 2));
}

export function inverseWords(map: LatentMap, morphing: boolean): string {
  if (morphing) return `Between two maps there is no inverse: the latents of the ${BLENDED} nearest points are blended, the nearer the more.`;
  if (map.isPlane) return "The two latents are those under the pointer; the others keep their values.";
  if (map.header.inverse && map.header.dims === 2) return `${map.header.name} is linear: the latent under the pointer is its inverse.`;
  return `${map.header.name} has no inverse: the latents of the ${BLENDED} nearest points are blended, the nearer the more.`;
}

export function latentAt(app: App, map: LatentMap, placement: Placement, x: number, y: number): Float32Array | null {
  const { header, space } = map;
  const exact = hasInverse(map, placement);
  if (exact && map.isPlane) return planeLatent(app, map, x, y);
  if (exact && header.inverse) return linearLatent(header.inverse, header.scale, header.centre, [x, y]);
  const values = space.latents?.now;
  if (!values) return null;
  const items = placement.nearestOf(x, y, BLENDED);
  const { positions } = placement;
  const distances = items.map((item) => Math.hypot(positions[2 * item]! - x, positions[2 * item + 1]! - y));
  return blended(values, space.dim, items, distances);
}

function planeLatent(app: App, map: LatentMap, x: number, y: number): Float32Array {
  const { header, dim } = map.space;
  const result = app.latentIn(map.space)?.slice() ?? Float32Array.from(header.mean);
  map.plane?.forEach((axis, side) => {
    if (axis >= dim) return;
    const sigma = header.sigma[axis] ?? 1;
    result[axis] = (header.mean[axis] ?? 0) + (side ? y : x) * PLANE_SIGMAS * (sigma || 1);
  });
  return result;
}

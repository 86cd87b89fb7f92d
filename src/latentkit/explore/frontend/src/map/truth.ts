// What a map does to the neighbourhood of an item: true neighbours it tears away, and strangers it puts near.

import { type App } from "../app";
import { type LatentMap } from "../data/dataset";
import { countBelow, nearest } from "../geometry/nearest";
import { type Placement } from "./placement";

/** Neighbours that are looked at. */
export const LOOKED_AT = 15;

export interface Truth {
  item: number;
  /** True neighbours that are near on the map, too. */
  kept: number[];
  /** True neighbours that are far on the map. */
  torn: number[];
  /** Items near on the map that are far in the latents. */
  strangers: number[];
}

/** Rank from which an item counts as far: five times the neighbours looked at, or one item in a hundred. */
export function farRank(count: number): number {
  return Math.min(count - 1, Math.max(5 * LOOKED_AT, Math.round(count / 100)));
}

export function truth(app: App, map: LatentMap, placement: Placement, item: number): Truth | null {
  const latents = map.space.latents?.now;
  if (!latents) return null;
  const { dim } = map.space;
  const { count } = app.data;
  const point = latents.subarray(item * dim, (item + 1) * dim);
  const far = farRank(count);
  const { positions } = placement;
  const [x, y] = [positions[2 * item]!, positions[2 * item + 1]!];

  const distances = app.painter.distancePaint(map).measure(latents, dim, item);
  const neighbours = nearest(latents, dim, point, LOOKED_AT, item).map((one) => one.item);
  const mapped = placement.nearestOf(x, y, LOOKED_AT, item);
  // Ranks are counted for the few items that are asked about, which is quicker than sorting all.
  const isTorn = (other: number): boolean => {
    const limit = (positions[2 * other]! - x) ** 2 + (positions[2 * other + 1]! - y) ** 2;
    let closer = 0;
    for (let i = 0; i < positions.length; i += 2) {
      const dx = positions[i]! - x;
      const dy = positions[i + 1]! - y;
      if (dx * dx + dy * dy < limit) closer++;
    }
    return closer - 1 >= far;
  };
  const torn = neighbours.filter(isTorn);
  return {
    item,
    kept: neighbours.filter((other) => !torn.includes(other)),
    torn,
    strangers: mapped.filter((other) => countBelow(distances, distances[other]!) - 1 >= far),
  };
}

/** What a trustworthiness means for a reader, in a few words. */
export function trustWords(trust: number | undefined): { text: string; level: "good" | "fair" | "poor" } | null {
  if (trust === undefined || !Number.isFinite(trust)) return null;
  if (trust >= 0.98) return { text: "near points are almost always true neighbours", level: "good" };
  if (trust >= 0.95) return { text: "near points are mostly true neighbours", level: "good" };
  if (trust >= 0.9) return { text: "most near points are true neighbours, some are strangers", level: "fair" };
  if (trust >= 0.8) return { text: "many near points are strangers: read with care", level: "poor" };
  return { text: "do not read neighbours from this map", level: "poor" };
}

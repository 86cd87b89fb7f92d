// Points on their way from one map to another.

import { aligned, between } from "../geometry/procrustes";
import { Placement } from "./placement";

/** Neighbours on the map by which it is told how much an item has moved. */
export const MOVED_NEIGHBOURS = 15;

export class Morph extends Placement {
  private readonly stops: Float32Array[];

  /** Each stop is laid on the one before by a turn, a mirror and a scale. */
  constructor(placements: readonly Placement[]) {
    super(placements[0]!.positions.slice());
    this.stops = [];
    for (const { positions } of placements) {
      const before = this.stops.at(-1);
      this.stops.push(before ? aligned(positions, before) : positions);
    }
  }

  /** Goes to a place on the track: 0 is the first map, 1 the second. */
  set(progress: number): void {
    const last = this.stops.length - 1;
    const place = Math.max(0, Math.min(last, progress));
    const from = Math.min(last - 1, Math.floor(place));
    between(this.stops[from]!, this.stops[from + 1]!, place - from, this.positions);
    this.moved();
  }
}

export interface Moved {
  /** Items that were looked at. */
  items: Uint32Array;
  /** For each of them, the share of its neighbours on the first map that are none on the second. */
  shares: Float32Array;
  /** For each of them, how far its former neighbours are on the second map, on average. */
  distances: Float32Array;
}

/** How much of each item's neighbourhood differs between two maps, for at most `most` items, evenly spread. */
export async function movedItems(first: Placement, second: Placement, most: number, pause: () => Promise<boolean>): Promise<Moved | null> {
  const count = first.positions.length / 2;
  const step = Math.max(1, Math.ceil(count / most));
  const items = Uint32Array.from({ length: Math.ceil(count / step) }, (_, i) => i * step);
  const shares = new Float32Array(items.length);
  const distances = new Float32Array(items.length);
  const { positions } = second;
  let began = performance.now();
  for (let i = 0; i < items.length; i++) {
    const item = items[i]!;
    const before = near(first, item);
    const after = new Set(near(second, item));
    shares[i] = before.filter((other) => !after.has(other)).length / Math.max(1, before.length);
    const [x, y] = [positions[2 * item]!, positions[2 * item + 1]!];
    for (const other of before) distances[i]! += Math.hypot(positions[2 * other]! - x, positions[2 * other + 1]! - y) / before.length;
    if (performance.now() - began > 12) {
      if (!(await pause())) return null;
      began = performance.now();
    }
  }
  return { items, shares, distances };
}

function near(placement: Placement, item: number): number[] {
  return placement.nearestOf(placement.positions[2 * item]!, placement.positions[2 * item + 1]!, MOVED_NEIGHBOURS, item);
}

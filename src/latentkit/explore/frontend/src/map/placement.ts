// Where the points of a map lie in the plane, and an index that finds those near a place.

import KDBush from "kdbush";
import { type LatentMap } from "../data/dataset";
import { projected } from "../geometry/procrustes";
import { type Bounds, bounds, fullBounds } from "./camera";

export class Placement {
  readonly positions: Float32Array;
  /** Grows with each change of the positions. */
  version = 0;
  private tree: KDBush | null = null;
  private middleBounds: Bounds | null = null;

  constructor(positions: Float32Array) {
    this.positions = positions;
  }

  /** Says that the positions have changed. */
  moved(): void {
    this.version++;
    this.tree = null;
  }

  /** The part that holds the middle 99.5 percent, measured once: it stays while points move. */
  get middle(): Bounds {
    this.middleBounds ??= bounds(this.positions, 0.0025);
    return this.middleBounds;
  }

  get all(): Bounds {
    return fullBounds(this.positions);
  }

  /** Builds the index before it is needed. */
  prepare(): KDBush {
    return this.index;
  }

  /** Items within a distance of a place. */
  within(x: number, y: number, radius: number): number[] {
    return this.index.within(x, y, radius);
  }

  /** Items in a rectangle. */
  range(left: number, low: number, right: number, high: number): number[] {
    return this.index.range(left, low, right, high);
  }

  /** The nearest item within a distance for which `wanted` is true; -1 if there is none. */
  nearest(x: number, y: number, radius: number, wanted?: (item: number) => boolean): number {
    let [best, least] = [-1, Infinity];
    for (const item of this.within(x, y, radius)) {
      const square = this.square(item, x, y);
      if (square < least && (!wanted || wanted(item))) [best, least] = [item, square];
    }
    return best;
  }

  /** The k items nearest to a place, nearest first. */
  nearestOf(x: number, y: number, k: number, except = -1): number[] {
    const count = this.positions.length / 2;
    const wanted = Math.min(k, count - (except >= 0 ? 1 : 0));
    // Start with the radius that holds k points on average, and widen it.
    let radius = Math.sqrt((4 * (k + 1)) / (Math.PI * count));
    for (;;) {
      const found = this.within(x, y, radius).filter((item) => item !== except);
      if (found.length >= wanted || radius > 1e6) {
        return found
          .map((item) => ({ item, square: this.square(item, x, y) }))
          .sort((a, b) => a.square - b.square || a.item - b.item)
          .slice(0, wanted)
          .map(({ item }) => item);
      }
      radius *= 1.7;
    }
  }

  /** The next item in a direction: near, and not far off the direction. */
  towards(from: number, dx: number, dy: number, wanted: (item: number) => boolean): number {
    const x = this.positions[2 * from]!;
    const y = this.positions[2 * from + 1]!;
    for (let radius = 0.02; radius < 8; radius *= 2) {
      let [best, least] = [-1, Infinity];
      for (const item of this.within(x, y, radius)) {
        if (item === from || !wanted(item)) continue;
        const ax = this.positions[2 * item]! - x;
        const ay = this.positions[2 * item + 1]! - y;
        const along = ax * dx + ay * dy;
        const across = Math.abs(ax * dy - ay * dx);
        if (along <= 0 || across > along) continue;
        const cost = along + 2 * across;
        if (cost < least) [best, least] = [item, cost];
      }
      if (best >= 0) return best;
    }
    return -1;
  }

  private square(item: number, x: number, y: number): number {
    const dx = this.positions[2 * item]! - x;
    const dy = this.positions[2 * item + 1]! - y;
    return dx * dx + dy * dy;
  }

  private get index(): KDBush {
    if (!this.tree) {
      const { positions } = this;
      const tree = new KDBush(positions.length / 2, 64, Float32Array);
      for (let i = 0; i < positions.length; i += 2) {
        const [x, y] = [positions[i]!, positions[i + 1]!];
        const known = Number.isFinite(x) && Number.isFinite(y);
        tree.add(known ? x : 1e30, known ? y : 1e30);
      }
      tree.finish();
      this.tree = tree;
    }
    return this.tree;
  }
}

/** A map's points in the plane; those of three dimensions are seen from a direction. */
export class MapPlacement extends Placement {
  yaw = 0.5;
  pitch = 0.35;

  constructor(readonly map: LatentMap, private readonly values: Float32Array) {
    super(map.header.dims === 3 ? new Float32Array((values.length / 3) * 2) : values);
    if (this.turns) projected(values, this.yaw, this.pitch, this.positions);
  }

  get turns(): boolean {
    return this.map.header.dims === 3;
  }

  turn(yaw: number, pitch: number): void {
    this.yaw = yaw;
    this.pitch = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, pitch));
    projected(this.values, this.yaw, this.pitch, this.positions);
    this.moved();
  }
}

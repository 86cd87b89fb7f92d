import { describe, expect, it } from "vitest";
import { blended, drawMixture, linearLatent, meanLatent, normal, onLine, onPath, seeded } from "../src/geometry/latents";
import { combine, inPolygon, itemsInPolygon, rectangle } from "../src/geometry/lasso";
import { countBelow, distancesTo, nearest } from "../src/geometry/nearest";
import { aligned, between, projected } from "../src/geometry/procrustes";
import { walk } from "../src/geometry/walk";
import { Camera } from "../src/map/camera";
import { movedItems, Morph } from "../src/map/morph";
import { Placement } from "../src/map/placement";
import { middleRange } from "../src/paint";

function cloud(count: number, dim: number, seed = 1): Float32Array {
  const random = seeded(seed);
  return Float32Array.from({ length: count * dim }, () => normal(random));
}

function sorted(values: Float32Array, dim: number, point: ArrayLike<number>, except: number): number[] {
  const distances = distancesTo(values, dim, point, new Float32Array(values.length / dim));
  return [...distances.keys()].filter((item) => item !== except).sort((a, b) => distances[a]! - distances[b]! || a - b);
}

describe("nearest", () => {
  it.each([[200, 1], [500, 3], [300, 40]])("finds the k nearest of %i items with %i latents", (count, dim) => {
    const values = cloud(count, dim);
    for (const item of [0, 7, count - 1]) {
      const point = values.subarray(item * dim, (item + 1) * dim);
      expect(nearest(values, dim, point, 10, item).map((one) => one.item)).toEqual(sorted(values, dim, point, item).slice(0, 10));
    }
  });

  it("takes the lower item of equal distances, and no more than there are", () => {
    const values = Float32Array.of(0, 1, 1, 1, 0);
    expect(nearest(values, 1, [1], 2).map((one) => one.item)).toEqual([1, 2]);
    expect(nearest(values, 1, [0], 99, 0)).toHaveLength(4);
    expect(nearest(values, 1, [0], 0)).toEqual([]);
  });

  it("leaves out items without a distance", () => {
    expect(nearest(Float32Array.of(NaN, 3), 1, [0], 2).map((one) => one.item)).toEqual([1]);
    expect(countBelow(Float32Array.of(1, NaN, 2), 2)).toBe(1);
  });
});

describe("lasso", () => {
  it("tells inside from outside for a polygon with a dent", () => {
    const dent = [0, 0, 4, 0, 4, 4, 2, 1, 0, 4];
    expect(inPolygon(dent, 0.5, 1)).toBe(true);
    expect(inPolygon(dent, 2, 3)).toBe(false);
    expect(inPolygon(dent, 5, 1)).toBe(false);
  });

  it("finds the items in a rectangle", () => {
    const positions = Float32Array.of(0, 0, 1, 1, 3, 3, NaN, 0);
    expect([...itemsInPolygon(positions, rectangle(-1, -1, 2, 2))]).toEqual([0, 1]);
    expect([...itemsInPolygon(positions, [0, 0])]).toEqual([]);
  });

  it("adds and subtracts", () => {
    const before = Uint32Array.of(2, 30);
    expect([...combine(before, Uint32Array.of(4, 30), "add")]).toEqual([2, 4, 30]);
    expect([...combine(before, Uint32Array.of(4, 30), "subtract")]).toEqual([2]);
    expect([...combine(before, Uint32Array.of(4), "replace")]).toEqual([4]);
  });
});

describe("procrustes", () => {
  it.each([1, -1])("undoes a shift, a turn and a scale (mirror %i)", (mirror) => {
    const fixed = cloud(40, 2);
    const moving = new Float32Array(80);
    const [cos, sin] = [Math.cos(2.1), Math.sin(2.1)];
    for (let i = 0; i < 80; i += 2) {
      moving[i] = 5 + 3 * (cos * fixed[i]! - sin * mirror * fixed[i + 1]!);
      moving[i + 1] = -2 + 3 * (sin * fixed[i]! + cos * mirror * fixed[i + 1]!);
    }
    aligned(moving, fixed).forEach((value, i) => expect(value).toBeCloseTo(fixed[i]!, 4));
  });

  it("keeps points that all lie in one place where the other map's middle is", () => {
    expect([...aligned(new Float32Array(4), Float32Array.of(1, 2, 3, 4))]).toEqual([2, 3, 2, 3]);
  });

  it("goes from one map to the other", () => {
    expect([...between(Float32Array.of(0, 0), Float32Array.of(2, 4), 0.25, new Float32Array(2))]).toEqual([0.5, 1]);
  });

  it("shows the first two axes of three dimensions from the front", () => {
    expect([...projected(Float32Array.of(1, 2, 3), 0, 0, new Float32Array(2))]).toEqual([1, 2]);
  });
});

describe("latents", () => {
  it("inverts a linear map", () => {
    const inverse = { kind: "linear" as const, mean: [1, 1, 1], axes: [[1, 0, 0], [0, 2, 0]] };
    expect([...linearLatent(inverse, 10, [0.5, 0], [0.1, 0.2])]).toEqual([2.5, 5, 1]);
  });

  it("gives an item's own latent in its place on the map", () => {
    const values = Float32Array.of(0, 0, 4, 8);
    const [x, y] = blended(values, 2, [1, 0], [0, 1]);
    expect(x).toBeCloseTo(4, 0);
    expect(y).toBeCloseTo(8, 0);
    expect([...meanLatent(values, 2, [0, 1])]).toEqual([2, 4]);
  });

  it("goes along a path by length", () => {
    const corners = [Float32Array.of(0, 0), Float32Array.of(3, 0), Float32Array.of(3, 1)];
    expect([...onPath(corners, 0.75)]).toEqual([3, 0]);
    expect([...onPath(corners, 1)]).toEqual([3, 1]);
    expect([...onLine(corners[0]!, corners[1]!, 0.5)]).toEqual([1.5, 0]);
  });

  it("draws from a mixture with the means and spread that it has", () => {
    const random = seeded(3);
    const mixture = { weights: [0.25, 0.75], means: Float32Array.of(10, 0, -10, 0), cholesky: Float32Array.of(1, 0, 2, 1, 1, 0, 2, 1) };
    const drawn = Array.from({ length: 4000 }, () => drawMixture(mixture, 2, random));
    const first = drawn.filter((latent) => latent[0]! > 0);
    expect(first.length / drawn.length).toBeCloseTo(0.25, 1);
    const spread = first.reduce((sum, latent) => sum + latent[1]! ** 2, 0) / first.length;
    expect(spread).toBeGreaterThan(4);
    expect(spread).toBeLessThan(6); // 2^2 + 1^2
  });
});

describe("walk", () => {
  const line = Float32Array.from({ length: 30 }, (_, i) => i * i * 0.1);
  const go = (): Promise<boolean> => Promise.resolve(true);

  it("goes in small steps", async () => {
    const items = await walk(line, 1, 0, 10, 3, 100, go);
    expect(items).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it("gives up where there is no way", async () => {
    const islands = Float32Array.of(0, 0.1, 0.2, 100, 100.1, 100.2);
    expect(await walk(islands, 1, 0, 5, 2, 100, go)).toBeNull();
  });
});

describe("maps", () => {
  it("zooms about a place", () => {
    const camera = new Camera(800, 600);
    const before = camera.mapX(200);
    camera.zoomAt(3, 200, 100);
    expect(camera.mapX(200)).toBeCloseTo(before, 9);
    expect(camera.screenX(camera.mapX(321))).toBeCloseTo(321, 6);
    expect(camera.screenY(camera.mapY(77))).toBeCloseTo(77, 6);
  });

  it("finds neighbours on a map", () => {
    const placement = new Placement(cloud(500, 2));
    const { positions } = placement;
    expect(placement.nearestOf(positions[0]!, positions[1]!, 12, 0)).toEqual(sorted(positions, 2, positions.subarray(0, 2), 0).slice(0, 12));
    expect(placement.nearest(positions[8]!, positions[9]!, 0.01)).toBe(4);
  });

  it("goes to the next point in a direction", () => {
    const placement = new Placement(Float32Array.of(0, 0, 0.5, 0.1, -0.4, 0, 0, 0.6, 0.9, 0));
    expect(placement.towards(0, 1, 0, () => true)).toBe(1);
    expect(placement.towards(0, -1, 0, () => true)).toBe(2);
    expect(placement.towards(0, 0, 1, () => true)).toBe(3);
    expect(placement.towards(0, 0, -1, () => true)).toBe(-1);
    expect(placement.towards(0, 1, 0, (item) => item !== 1)).toBe(4);
  });

  it("ranges over the middle of values, without outliers", () => {
    const values = Float32Array.from({ length: 1001 }, (_, i) => i);
    values[1000] = 1e9;
    expect(middleRange(values, 0.0025)).toEqual([2, 998]);
    expect(middleRange([5, 5, NaN], 0.01)).toEqual([4.5, 5.5]);
  });

  it("morphs from one map to the other, and tells who moved", async () => {
    const first = new Placement(cloud(200, 2));
    const swapped = first.positions.slice();
    const far = first.all;
    swapped.set([far.right + 3, far.high + 3], 2 * 17);
    const second = new Placement(swapped);
    const morph = new Morph([first, second]);
    morph.set(0);
    expect([...morph.positions]).toEqual([...first.positions]);
    const moved = await movedItems(first, second, 1000, () => Promise.resolve(true));
    const most = [...moved!.items].sort((a, b) => moved!.distances[b]! - moved!.distances[a]!)[0];
    expect(most).toBe(17);
  });
});

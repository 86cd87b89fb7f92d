import { describe, expect, it } from "vitest";
import { type App } from "../src/app";
import { Dataset, type LatentMap } from "../src/data/dataset";
import { asPixels } from "../src/data/decoding";
import { Container } from "../src/layout";
import { hasInverse, inverseWords, latentAt } from "../src/map/inverse";
import { Morph } from "../src/map/morph";
import { MapPlacement } from "../src/map/placement";
import { tracks } from "../src/panels/compare_panel";
import { withEnd } from "../src/panels/histogram";
import { numbered } from "../src/panels/search";

const section = { name: "x", dtype: "f4", shape: [1], encoding: "raw" };

function map(key: string, more: object = {}): object {
  return { key, name: key, dims: 2, section, scale: 1, centre: [0, 0], trust: null, figures: {}, about: "", fitted_on: "", inverse: null, ...more };
}

function space(maps: object[], more: object = {}): object {
  return { name: "run", title: "run", epoch: null, latents: section, dim: 2, mean: [0, 0], sigma: [1, 2], order: [0, 1], weights: [], columns: [], maps, ...more };
}

function dataset(spaces: object[], splits: string[] | null = null): Dataset {
  const items = { count: 6, labels: null, splits: splits && { names: splits, section }, images: null };
  return new Dataset(Container.fromWidget({ format: "latentkit-explorer", version: 1, items, spaces }, {}));
}

describe("ids of maps", () => {
  it("take a map whose name begins with plane as a map", () => {
    const data = dataset([space([map("planes"), map("plane")])]);
    expect(data.map("0/planes")).toBe(data.spaces[0]!.maps[0]);
    expect(data.map("0/plane")?.isPlane).toBe(false);
    expect(data.map("0/plane:1:0")?.plane).toEqual([1, 0]);
    expect(data.map("0/plane:1:0")).toBe(data.map("0/plane:1:0"));
    for (const id of ["0/plane:1:2", "0/plane:-1:0", "1/planes", "planes", "/planes", "0/none", ""]) expect(data.map(id)).toBeNull();
  });

  it("tell maps of one key apart", () => {
    const { maps } = dataset([space([map("tsne"), map("pca"), map("tsne")])]).spaces[0]!;
    expect(maps.map((one) => one.id)).toEqual(["0/tsne", "0/pca", "0/tsne:2"]);
    expect(maps.map((one) => one.space.data.map(one.id) === one)).toEqual([true, true, true]);
  });
});

describe("search by number", () => {
  const data = dataset([space([])], ["train", "test", "validation"]);
  data.rows = Int32Array.of(0, 1, 2, 0, 1, 0);
  data.splits = Int32Array.of(0, 0, 0, 1, 1, 2);

  it("finds one item of each split, that of the test split first", () => {
    expect(numbered(data, "0")).toEqual([{ item: 3, text: "Test item 0" }, { item: 0, text: "Train item 0" }, { item: 5, text: "Validation item 0" }]);
    expect(numbered(data, "item 2")).toEqual([{ item: 2, text: "Train item 2" }]);
    expect(numbered(data, "#9")).toEqual([]);
  });

  it("takes the name of a split", () => {
    const found = (query: string): number[] => numbered(data, query).map((hit) => hit.item);
    expect(found("test 0")).toEqual([3]);
    expect(found("Train item 1")).toEqual([1]);
    expect(found("training 1")).toEqual([1]);
    expect(found("validation:0")).toEqual([5]);
    for (const query of ["test 2", "digit 0", "item train 0", "test"]) expect(found(query)).toEqual([]);
  });

  it("needs no splits", () => {
    const plain = dataset([space([])]);
    expect(numbered(plain, "test 5")).toEqual([{ item: 5, text: "Item 5" }]);
    expect(numbered(plain, "5")).toEqual([{ item: 5, text: "Item 5" }]);
    expect(numbered(plain, "train 5")).toEqual([]);
    expect(numbered(plain, "6")).toEqual([]);
  });
});

describe("tracks", () => {
  const offered = (spaces: object[]): string[] => {
    const data = dataset(spaces);
    const maps = data.allMaps();
    return tracks(maps, maps[0]!).map(({ text, track }) => `${text}: ${track.map((one) => one.space.index).join()}`);
  };
  const one = (name: string, epoch: number | null): object => space([map("pca")], { name, epoch });

  it("say what differs along them", () => {
    expect(offered([one("a", null), one("a", 3), one("a", 1)])).toEqual(["Over 3 epochs: 2,1,0"]);
    expect(offered([one("a", null), one("b", null)])).toEqual(["Over 2 runs: 0,1"]);
    expect(offered([one("a", null), one("a", null)])).toEqual(["Over 2 maps: 0,1"]);
    expect(offered([one("a", null), one("b", null), one("a", 2)])).toEqual(["Over 2 epochs: 2,0", "Over 2 runs: 0,1"]);
    expect(offered([one("a", null)])).toEqual([]);
  });

  it("name an epoch once", () => {
    const labels = dataset([space([], { title: "vae, epoch 3", epoch: 3 }), space([], { title: "vae", epoch: 3 }), space([], { title: "vae, epoch 13", epoch: 3 })]).spaces.map((run) => run.label);
    expect(labels).toEqual(["vae, epoch 3", "vae, epoch 3", "vae, epoch 13, epoch 3"]);
  });
});

describe("inverse of a map", () => {
  const inverse = { kind: "linear", mean: [10, 20], axes: [[1, 0], [0, 1]] };
  const data = dataset([space([map("pca", { inverse }), map("other")])]);
  const [pca, other] = data.spaces[0]!.maps as [LatentMap, LatentMap];
  const positions = Float32Array.from([0, 0, 1, 0, 0, 1, 1, 1, -1, 0, 0, -1]);
  pca.space.latents!.now = Float32Array.from({ length: 12 }, (_, i) => i % 2);
  const app = { latentIn: () => null } as unknown as App;

  it("is that of the map, unless points are on their way to another", () => {
    const placement = new MapPlacement(pca, positions);
    expect(hasInverse(pca, placement)).toBe(true);
    expect([...latentAt(app, pca, placement, 0.5, 0.25)!]).toEqual([10.5, 20.25]);
    const morph = new Morph([placement, new MapPlacement(other, positions.map((value) => -value))]);
    expect(hasInverse(pca, morph)).toBe(false);
    expect([...latentAt(app, pca, morph, 0.5, 0.25)!]).toEqual([0, 1]);
    expect(inverseWords(pca, false)).toMatch(/linear/);
    expect(inverseWords(pca, true)).toMatch(/blended/);
  });

  it("of a plane keeps the other latents of this run's latent only", () => {
    const plane = data.map("0/plane:1:0")!;
    const placement = new MapPlacement(plane, positions);
    expect([...latentAt(app, plane, placement, 0.5, 0.25)!]).toEqual([1, 4]);
    const kept = { latentIn: () => Float32Array.of(7, 7) } as unknown as App;
    expect([...latentAt(kept, data.map("0/plane:1:1")!, new MapPlacement(data.map("0/plane:1:1")!, positions), 0, 0)!]).toEqual([7, 0]);
  });
});

describe("decoded pixels", () => {
  const values = Float32Array.of(0, 0.2, 0.4, 0.6, 0.8);
  const shown = (channels?: number[]): number[] => {
    const into = new Uint8ClampedArray(4);
    asPixels(values, [5, 1, 1], into, channels);
    return [...into];
  };

  it("show the channels of the data set", () => {
    expect(shown([4, 2, 0])).toEqual([204, 102, 0, 255]);
    expect(shown([3])).toEqual([153, 153, 153, 255]);
  });

  it("show the first three where none are told, or where they are not there", () => {
    for (const channels of [undefined, [], [0, 1, 7]]) expect(shown(channels)).toEqual([0, 51, 102, 255]);
    const grey = new Uint8ClampedArray(4);
    asPixels(values, [1, 1, 1], grey);
    expect([...grey]).toEqual([0, 0, 0, 255]);
  });
});

describe("ends of a range", () => {
  it("are set one by one, and are open at the ends of the scale", () => {
    expect(withEnd(null, 0, 0.5, 0, 2)).toEqual([0.5, Infinity]);
    expect(withEnd([0.5, Infinity], 1, 1, 0, 2)).toEqual([0.5, 1]);
    expect(withEnd([0.5, 1], 0, NaN, 0, 2)).toEqual([-Infinity, 1]);
    expect(withEnd([0.5, 1], 0, 1.5, 0, 2)).toEqual([1, 1.5]);
    expect(withEnd([0.5, Infinity], 0, -3, 0, 2)).toBeNull();
    expect(withEnd([-Infinity, 1], 1, 2, 0, 2)).toBeNull();
  });
});

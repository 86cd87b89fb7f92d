import { describe, expect, it, vi } from "vitest";
import { type Dataset } from "../src/data/dataset";
import { fromHash, packItems, toHash, unpackItems } from "../src/hash";
import { classShape, markRule, packed, packedCss } from "../src/palette";
import { paint } from "../src/paint";
import { confusedMost, confusion } from "../src/panels/class_panel";
import { cell } from "../src/panels/export";
import { middles } from "../src/map/marks";
import { initialState, type State, Store } from "../src/store";

const data = { count: 1000, spaces: [{ dim: 3 }, { dim: 2 }], map: (id: string) => (/^0\/(pca|tsne|plane:1:2)$/.test(id) ? {} : null) } as unknown as Dataset;
const begin: State = { ...initialState(), maps: ["0/pca"] };

describe("address", () => {
  it("gives back the state that it was made of", () => {
    const state: State = {
      ...begin,
      maps: ["0/tsne", "0/pca"], colour: "column:error", hidden: new Set([1, 3]), range: [0.5, Infinity], selection: Uint32Array.of(1, 2, 999),
      pinned: 7, tool: "lasso", panel: "decode", distances: true, names: false, neighbours: 5, plane: [1, 2], track: ["0/pca", "0/tsne"], progress: 0.25,
      latent: Float32Array.of(1, -2.5), latentRun: 1, camera: { x: 0.125, y: -0.5, zoom: 3 },
    };
    const { latentFrom, ...back } = fromHash(`#${toHash(state, begin)}`, data);
    expect(latentFrom).toBe("from the address");
    expect({ ...state, ...back }).toEqual(state);
  });

  it("is empty at the start", () => {
    expect(toHash(begin, begin)).toBe("");
    expect(fromHash("", data)).toEqual({});
    expect(fromHash("#panel=classes", data).panel).toBe("item");
    expect(fromHash("#panel=classes", Object.assign(Object.create(data), { hasPredictions: true }) as Dataset).panel).toBe("classes");
  });

  it("takes nothing that the page does not have", () => {
    const patch = fromHash("#maps=9/x,0/none&item=1000&selected=d____&tool=drill&panel=x&view=1,2,0&track=0/pca,9/x,1&range=2,1&plane=7,8&latent=!&latent=0:AACAPwAAgD8&%E0=%E0", data);
    expect(patch).toEqual({ selection: new Uint32Array(0), tool: "pan", panel: "item" });
  });

  it("packs few, many and distant items", () => {
    for (const items of [[], [0], [5, 6, 7, 1000, 70_000], Array.from({ length: 5000 }, (_, i) => 2 * i)]) {
      const packedItems = packItems(Uint32Array.from(items));
      expect([...unpackItems(packedItems, 100_000)]).toEqual(items);
    }
    expect(packItems(Uint32Array.from({ length: 60_000 }, (_, i) => i)).length).toBeLessThan(11_000);
  });
});

describe("store", () => {
  it("tells only of what changed, and once", () => {
    const store = new Store();
    const listener = vi.fn();
    const stop = store.on(["pinned"], listener);
    store.update({ hovered: 3 });
    store.update({ pinned: 3, hovered: 4 });
    store.update({ pinned: 3 });
    stop();
    store.update({ pinned: 5 });
    expect(listener).toHaveBeenCalledTimes(1);
  });

  it("tells changes in the order in which they were made", () => {
    const store = new Store();
    const seen: number[] = [];
    store.on(["pinned"], (state) => {
      if (state.pinned === 1) store.update({ pinned: 2 });
    });
    store.on(["pinned"], (state) => seen.push(state.pinned));
    store.update({ pinned: 1 });
    expect(seen.at(-1)).toBe(2);
  });
});

describe("paint", () => {
  const scale = { kind: "class" as const, name: "", about: "", labels: Int32Array.of(0, 1, -1, 1), names: ["a", "b"] };

  it("puts what is filtered out or not selected behind", () => {
    expect([...paint(4, scale, { ...begin, hidden: new Set([1]) }, false).front]).toEqual([0, 2]);
    const both = paint(4, scale, { ...begin, hidden: new Set([0]), selection: Uint32Array.of(0, 1) }, false);
    expect([...both.front]).toEqual([1]);
    expect([...both.back]).toEqual([0, 2, 3]);
    expect([...both.passed]).toEqual([0, 1, 1, 1]);
  });

  it("keeps a range of values, and greys what has none", () => {
    const numbers = { kind: "number" as const, name: "", about: "", values: Float32Array.of(0, 1, NaN, 2), low: 0, high: 2 };
    expect([...paint(4, numbers, { ...begin, range: [1, Infinity] }, true).front]).toEqual([1, 3]);
  });

  it("has shapes beyond ten classes, and says its rule", () => {
    expect(classShape(9)).toBe(0);
    expect(classShape(10)).toBe(1);
    expect(markRule(10)).toBeNull();
    expect(markRule(11)).toMatch(/shape/);
    expect(markRule(2000)).toMatch(/repeat/);
    expect(packed("#010203")).toBe(packedCss("rgb(1, 2, 3)"));
  });
});

describe("classes", () => {
  it("are counted against predicted classes, by name where their order differs", () => {
    const found = confusion(Int32Array.of(0, 0, 1, 1, -1, 1), ["cat", "dog"], Float32Array.of(1, 0, 0, 0, 0, -1), ["dog", "cat"]);
    expect([...found.counts]).toEqual([1, 1, 0, 2]);
    expect([found.known, found.right]).toEqual([4, 3]);
    expect([...found.cells]).toEqual([0, 1, 3, 3, -1, -1]);
    expect(confusedMost(found, 8)).toEqual([1]);
    const more = confusion(Int32Array.of(0), ["cat"], Float32Array.of(1), ["cat", "bird"]);
    expect([more.names, [...more.counts]]).toEqual([["cat", "bird"], [0, 1, 0, 0]]);
  });

  it("are named among some items alone", () => {
    const positions = Float32Array.of(0, 0, 1, 1, 2, 2, 9, 9);
    expect(middles(positions, Int32Array.of(0, 0, 0, 1), ["a", "b"], [1, 3]).map(({ label, item }) => [label, item])).toEqual([[0, 1], [1, 3]]);
    expect(middles(positions, Int32Array.of(0, 0, 0, 1), ["a", "b"], [2])).toHaveLength(1);
  });
});

describe("export", () => {
  it("quotes cells, and keeps formulas from running", () => {
    expect(cell('a "b", c')).toBe('"a ""b"", c"');
    expect(cell("=1+1")).toBe("'=1+1");
    expect(cell(NaN)).toBe("");
    expect(cell(0.25)).toBe("0.25");
  });
});

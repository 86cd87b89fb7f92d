import { describe, expect, it } from "vitest";
import { createDecoder, largestDifference, type Program } from "../src/decoder/index";
import { erf, rounded } from "../src/decoder/maps";
import type { StepData } from "../src/decoder/program";

/** A program of one latent buffer, others of the given sizes, and an image (1, 1, n) in the last one. */
function program(buffers: number[], steps: StepData[], weights = 0): Program {
  const last = buffers.length - 1;
  return {
    format: "latentkit-decoder",
    version: 1,
    latent: buffers[0]!,
    shape: [1, 1, buffers[last]!],
    output: [last, 0],
    buffers,
    exact: [],
    weights,
    steps,
  };
}

async function run(given: Program, latent: number[], weights: number[] = [], plain = false): Promise<number[]> {
  const decoder = await createDecoder(given, Float32Array.from(weights), plain);
  return [...decoder.decode(Float32Array.from(latent))];
}

const copy = (out: StepData["out"], from: StepData["out"], shape: number[]): StepData => ({
  op: "map", f: "copy", shape: [shape], out, in: [from], p: [],
});

describe("strided steps", () => {
  it("reads a transposed array where it is", async () => {
    const given = program([6, 6], [copy([1, 0, [3, 1]], [0, 0, [1, 2]], [2, 3])]);
    expect(await run(given, [0, 1, 2, 3, 4, 5])).toEqual([0, 2, 4, 1, 3, 5]);
  });

  it("broadcasts numbers and rows", async () => {
    const step: StepData = { op: "map", f: "mul", shape: [[2, 3]], out: [1, 0, [3, 1]], in: [[0, 0, [0, 1]], 2], p: [] };
    expect(await run(program([3, 6], [step]), [1, 2, 3])).toEqual([2, 4, 6, 2, 4, 6]);
  });

  it("reads backwards", async () => {
    expect(await run(program([3, 3], [copy([1, 0, [1]], [0, 2, [-1]], [3])]), [1, 2, 3])).toEqual([3, 2, 1]);
  });

  it("reduces any dimensions", async () => {
    const step: StepData = { op: "reduce", f: "max", shape: [[3], [2]], out: [1, 0, [1, 0]], in: [[0, 0, [1, 3]]], p: [] };
    expect(await run(program([6, 3], [step]), [1, 5, 3, 4, 2, 6])).toEqual([4, 5, 6]);
  });

  it("sums as it goes", async () => {
    const step: StepData = { op: "scan", f: "cumsum", shape: [[], [4]], out: [1, 0, [1]], in: [[0, 0, [1]]], p: [] };
    expect(await run(program([4, 4], [step]), [1, 2, 3, 4])).toEqual([1, 3, 6, 10]);
  });

  it("weighs a few places of an axis", async () => {
    const step: StepData = {
      op: "taps", f: "sum", shape: [[], [3], []], out: [1, 0, [1]],
      in: [[0, 0, [0]], [-1, 0, [0]], [-1, 6, [0]]], p: [2, 1, 2],
    };
    const weights = [0, 1, 0, 1, 0, 1, 1, 0, 0.5, 0.5, 0, 1];
    expect(await run(program([2, 3], [step], 12), [10, 20], weights)).toEqual([10, 15, 20]);
  });

  it("looks numbers up, also from the end, and refuses what is not there", async () => {
    const step: StepData = {
      op: "gather", f: "get", shape: [[2]], out: [1, 0, [1]], in: [[-1, 0, [0]], [0, 0, [1]]], p: [3, 1],
    };
    const given = program([2, 2], [step], 3);
    expect(await run(given, [2, -3], [7, 8, 9])).toEqual([9, 7]);
    await expect(run(given, [3, 0], [7, 8, 9])).rejects.toThrow("does not exist");
    await expect(run(given, [0.5, 0], [7, 8, 9])).rejects.toThrow("does not exist");
  });

  it("adds at places that are calculated", async () => {
    const steps: StepData[] = [
      { op: "map", f: "copy", shape: [[3]], out: [1, 0, [1]], in: [0], p: [] },
      { op: "scatter", f: "add", shape: [[4]], out: [1, 0, [0]], in: [1, [0, 0, [1]]], p: [3, 1] },
    ];
    const given = program([4, 3], steps);
    const decoder = await createDecoder(given, new Float32Array());
    for (let i = 0; i < 2; i++) expect([...decoder.decode(Float32Array.of(0, 2, 2, 2))]).toEqual([1, 0, 3]);
  });
});

describe("products", () => {
  /** left (m, k) times right (k, n) plus an offset for each row. */
  const product = (m: number, k: number, n: number, f = "none", p: number[] = []): Program =>
    program(
      [k * n, m * n],
      [{ op: "matmul", f, shape: [[], [m], [k], [n]], out: [1, 0, [n, 0, 1]], in: [[-1, 0, [k, 1, 0]], [0, 0, [0, n, 1]], [-1, m * k, [1, 0, 0]]], p }],
      m * k + m,
    );

  for (const [m, k, n] of [[1, 1, 1], [5, 3, 1], [4, 9, 8], [7, 5, 13], [3, 17, 3], [9, 1, 16]] as const) {
    it(`multiplies ${m} x ${k} by ${k} x ${n}, with and without WebAssembly`, async () => {
      const left = Array.from({ length: m * k + m }, (_, i) => ((i * 7) % 11) - 5);
      const right = Array.from({ length: k * n }, (_, i) => ((i * 5) % 13) - 6);
      const expected = Array.from({ length: m * n }, (_, i) => {
        const [row, column] = [Math.floor(i / n), i % n];
        let total = left[m * k + row]!;
        for (let j = 0; j < k; j++) total += left[row * k + j]! * right[j * n + column]!;
        return total;
      });
      for (const plain of [false, true]) {
        expect(await run(product(m, k, n), right, left, plain)).toEqual(expected);
        const positive = expected.map((one) => Math.max(one, 0));
        expect((await run(product(m, k, n, "relu"), right, left, plain)).map((one) => one + 0)).toEqual(positive);
        const leaky = expected.map((one) => (one > 0 ? one : one * 0.5));
        expect((await run(product(m, k, n, "leaky_relu", [0.5]), right, left, plain)).map((one) => one + 0)).toEqual(leaky.map((one) => one + 0));
      }
    });
  }
});

describe("functions", () => {
  it("knows the error function to double precision", () => {
    for (const [x, y] of [[0, 0], [0.3, 0.3286267594591274], [0.5, 0.5204998778130465], [1, 0.8427007929497149], [-2, -0.9953222650189527], [5, 0.9999999999984626]] as const) {
      expect(erf(x)).toBeCloseTo(y, 14);
    }
  });

  it("rounds half to even", () => {
    expect([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4, -2.6].map((x) => rounded(x) + 0)).toEqual([-2, -2, 0, 0, 2, 2, 2, -3]);
  });
});

describe("damaged programs", () => {
  const good = (): Program => program([3, 3], [copy([1, 0, [1]], [0, 0, [1]], [3])]);
  const cases: [string, (one: Program) => void][] = [
    ["another version", (one) => (one.version = 2)],
    ["a step outside its buffer", (one) => (one.steps[0]!.out[1] = 1)],
    ["a negative offset", (one) => ((one.steps[0]!.in[0] as [number, number, number[]])[1] = -1)],
    ["a step over the latent", (one) => (one.steps[0]!.out[0] = 0)],
    ["a step over weights", (one) => (one.steps[0]!.out[0] = -1)],
    ["an unknown step", (one) => (one.steps[0]!.op = "constructor")],
    ["an unknown function", (one) => (one.steps[0]!.f = "toString")],
    ["huge buffers", (one) => one.buffers.push(2 ** 27, 2 ** 27, 2 ** 27)],
    ["endless work", (one) => (one.steps = Array.from({ length: 2000 }, () => ({ op: "map", f: "copy", shape: [[2 ** 14, 2 ** 14]], out: [1, 0, [0, 0]], in: [1], p: [] })))],
    ["an image outside", (one) => (one.shape = [1, 1, 4])],
    ["no steps", (one) => ((one as { steps: unknown }).steps = null)],
    ["wrong operands", (one) => (one.steps[0]!.in = [])],
  ];
  for (const [name, damage] of cases) {
    it(`refuses ${name} in one line`, async () => {
      const given = good();
      damage(given);
      await expect(createDecoder(given, new Float32Array())).rejects.toThrow(/^The decoder in this page is damaged: [^\n]+\.$/);
    });
  }

  it("counts a number that is none as the largest difference", async () => {
    const decoder = await createDecoder(good(), new Float32Array());
    expect(largestDifference(decoder, Float32Array.of(1, 2, 3), Float32Array.of(1, 2, 3.5))).toBe(0.5);
    expect(largestDifference(decoder, Float32Array.of(1, NaN, 3), Float32Array.of(1, 2, 3))).toBe(Infinity);
    expect(() => decoder.decode(new Float32Array(2))).toThrow("takes 3 latents");
  });
});

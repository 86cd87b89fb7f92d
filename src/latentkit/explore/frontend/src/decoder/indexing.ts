/** Steps that look numbers up by indices. */
import { Walk } from "./maps";
import { type Place, type Step, unknownFunction } from "./program";

type Run = () => void;

/** Place of an index that a program has calculated; negative ones count from the end. */
function indexed(value: number, size: number): number {
  const index = value < 0 ? value + size : value;
  if (!(index >= 0 && index < size && Number.isInteger(index))) {
    throw new RangeError("The decoder looks up a number that does not exist.");
  }
  return index;
}

export function gatherStep(step: Step, m: Float32Array): Run {
  if (step.f !== "get") unknownFunction(step);
  const { walk, sizes, strides } = indexWalk(step);
  return () => {
    walk.start();
    do {
      let from = walk.at[1]!;
      for (let i = 0; i < sizes.length; i++) from += indexed(m[walk.at[i + 2]!]!, sizes[i]!) * strides[i]!;
      m[walk.at[0]!] = m[from]!;
    } while (walk.next());
  };
}

export function scatterStep(step: Step, m: Float32Array): Run {
  if (step.f !== "set" && step.f !== "add") unknownFunction(step);
  const adds = step.f === "add";
  const { walk, sizes, strides } = indexWalk(step);
  return () => {
    walk.start();
    do {
      let to = walk.at[0]!;
      for (let i = 0; i < sizes.length; i++) to += indexed(m[walk.at[i + 2]!]!, sizes[i]!) * strides[i]!;
      const one = m[walk.at[1]!]!;
      m[to] = adds ? m[to]! + one : one;
    } while (walk.next());
  };
}

function indexWalk(step: Step): { walk: Walk; sizes: number[]; strides: number[] } {
  const places = [step.out, ...step.in];
  const walk = new Walk(step.sizes, places.map((one) => one.at), places.map((one) => one.strides));
  return {
    walk,
    sizes: step.numbers.filter((_, i) => i % 2 === 0),
    strides: step.numbers.filter((_, i) => i % 2 === 1),
  };
}

/** Weighted sums of a few places on one axis. */
export function tapsStep(step: Step, m: Float32Array): Run {
  if (step.f !== "sum") unknownFunction(step);
  const [before, axis, after] = step.groups as [number[], number[], number[]];
  const [count, stride, size] = step.numbers as [number, number, number];
  const [source, places, weights] = step.in as [Place, Place, Place];
  if (axis.length > 1) unknownFunction(step);
  const length = axis[0] ?? 1;
  const outStep = axis.length === 1 ? step.out.strides[before.length]! : 0;
  const both = [step.out, source];
  const outer = new Walk(before, both.map((one) => one.at), both.map((one) => one.strides.slice(0, before.length)));
  const from = before.length + axis.length;
  const inner = new Walk(after, [0, 0], both.map((one) => one.strides.slice(from)));
  const one = (to: number, base: number, table: number): void => {
    inner.start();
    do {
      let total = 0;
      for (let tap = 0; tap < count; tap++) {
        const place = indexed(m[places.at + table + tap]!, size) * stride;
        total += m[weights.at + table + tap]! * m[base + place + inner.at[1]!]!;
      }
      m[to + inner.at[0]!] = total;
    } while (inner.next());
  };
  return () => {
    outer.start();
    do {
      for (let i = 0; i < length; i++) one(outer.at[0]! + i * outStep, outer.at[1]!, i * count);
    } while (outer.next());
  };
}

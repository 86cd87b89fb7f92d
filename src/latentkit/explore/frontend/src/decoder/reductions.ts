/** Sums, extremes and running sums. */
import { Walk } from "./maps";
import { type Step, unknownFunction } from "./program";

type Run = () => void;
/** A reduction of the numbers at `base + offsets[i]`. */
type Reduction = (m: Float32Array, base: number, offsets: Int32Array) => number;

const sum: Reduction = (m, base, offsets) => {
  let total = 0;
  for (const one of offsets) total += m[base + one]!;
  return total;
};

/** Place of the first extreme; a NaN counts as one. */
function placeOf(larger: boolean): Reduction {
  return (m, base, offsets) => {
    let found = 0;
    let best = m[base + offsets[0]!]!;
    for (let i = 1; i < offsets.length && !Number.isNaN(best); i++) {
      const one = m[base + offsets[i]!]!;
      if (larger ? one > best : one < best) [found, best] = [i, one];
      else if (Number.isNaN(one)) [found, best] = [i, one];
    }
    return found;
  };
}

const REDUCTIONS: Record<string, Reduction> = {
  sum,
  mean: (m, base, offsets) => sum(m, base, offsets) / offsets.length,
  nansum: (m, base, offsets) => {
    let total = 0;
    for (const one of offsets) total += m[base + one]! || 0;
    return total;
  },
  prod: (m, base, offsets) => {
    let total = 1;
    for (const one of offsets) total *= m[base + one]!;
    return total;
  },
  max: (m, base, offsets) => {
    let best = -Infinity;
    for (const one of offsets) best = Math.max(best, m[base + one]!);
    return best;
  },
  min: (m, base, offsets) => {
    let best = Infinity;
    for (const one of offsets) best = Math.min(best, m[base + one]!);
    return best;
  },
  any: (m, base, offsets) => {
    for (const one of offsets) if (m[base + one] !== 0) return 1;
    return 0;
  },
  all: (m, base, offsets) => {
    for (const one of offsets) if (m[base + one] === 0) return 0;
    return 1;
  },
  argmax: placeOf(true),
  argmin: placeOf(false),
};

/** All offsets of a walk over some dimensions. */
export function offsetsOf(sizes: number[], strides: number[], scale = 1): Int32Array {
  let found = new Int32Array([0]);
  sizes.forEach((size, axis) => {
    const next = new Int32Array(found.length * size);
    for (let i = 0; i < found.length; i++) {
      for (let j = 0; j < size; j++) next[i * size + j] = found[i]! + j * strides[axis]! * scale;
    }
    found = next;
  });
  return found;
}

export function reduceStep(step: Step, m: Float32Array): Run {
  const reduction = Object.hasOwn(REDUCTIONS, step.f) ? REDUCTIONS[step.f]! : unknownFunction(step);
  const kept = step.groups[0]!.length;
  const [source, { out }] = [step.in[0]!, step];
  const offsets = offsetsOf(step.groups[1]!, source.strides.slice(kept));
  const walk = new Walk(step.groups[0]!, [out.at, source.at], [out.strides.slice(0, kept), source.strides.slice(0, kept)]);
  return () => {
    walk.start();
    do m[walk.at[0]!] = reduction(m, walk.at[1]!, offsets);
    while (walk.next());
  };
}

export function scanStep(step: Step, m: Float32Array): Run {
  const product = step.f === "cumprod" || (step.f !== "cumsum" && unknownFunction(step));
  const kept = step.groups[0]!.length;
  const [source, { out }] = [step.in[0]!, step];
  const from = offsetsOf(step.groups[1]!, source.strides.slice(kept));
  const to = offsetsOf(step.groups[1]!, out.strides.slice(kept));
  const walk = new Walk(step.groups[0]!, [out.at, source.at], [out.strides.slice(0, kept), source.strides.slice(0, kept)]);
  return () => {
    walk.start();
    do {
      let total = product ? 1 : 0;
      for (let i = 0; i < from.length; i++) {
        const one = m[walk.at[1]! + from[i]!]!;
        total = product ? total * one : total + one;
        m[walk.at[0]! + to[i]!] = total;
      }
    } while (walk.next());
  };
}

/** Functions of numbers, and the loops that apply them to strided arrays. */
import { type Step, unknownFunction } from "./program";

type Run = () => void;
type One = (x: number) => number;
type Two = (x: number, y: number) => number;
/** A loop over one dimension: memory, count, then place and stride of the result and of each operand. */
type Loop = (
  m: Float32Array, n: number, o: number, os: number, a: number, as: number, b: number, bs: number, c: number, cs: number,
) => void;

/** Error function; W. J. Cody's rational approximations (Math. Comp. 1969), to double precision. */
export function erf(x: number): number {
  const size = Math.abs(x);
  if (size <= 0.5) {
    const y = x * x;
    const top = (((0.18577770618460315 * y + 3.1611237438705655) * y + 113.86415415105016) * y + 377.485237685302) * y + 3209.3775891384694;
    const bottom = (((y + 23.601290952344122) * y + 244.02463793444417) * y + 1282.6165260773723) * y + 2844.236833439171;
    return (x * top) / bottom;
  }
  const rest = 1 - erfcOf(size);
  return x < 0 ? -rest : rest;
}

/** 1 - erf(x) for x > 0.5. */
function erfcOf(x: number): number {
  if (x > 26) return 0;
  if (x <= 4) {
    const top = ((((((((2.1531153547440383e-8 * x + 0.5641884969886701) * x + 8.883149794388377) * x + 66.11919063714163) * x + 298.6351381974001) * x + 881.952221241769) * x + 1712.0476126340707) * x + 2051.0783778260716) * x + 1230.3393547979972);
    const bottom = ((((((((x + 15.744926110709835) * x + 117.6939508913125) * x + 537.1811018620099) * x + 1621.3895745666903) * x + 3290.7992357334597) * x + 4362.619090143247) * x + 3439.3676741437216) * x + 1230.3393548037495);
    return (Math.exp(-x * x) * top) / bottom;
  }
  const y = 1 / (x * x);
  const top = ((((0.016315387137302097 * y + 0.30532663496123236) * y + 0.36034489994980445) * y + 0.12578172611122926) * y + 0.016083785148742275) * y + 0.0006587491615298378;
  const bottom = ((((y + 2.568520192289822) * y + 1.8729528499234673) * y + 0.5279051029514285) * y + 0.06051834131244132) * y + 0.0023352049762686918;
  return (Math.exp(-x * x) / x) * (0.5641895835477563 - (y * top) / bottom);
}

function erfc(x: number): number {
  if (x > 0.5) return erfcOf(x);
  return x < -0.5 ? 2 - erfcOf(-x) : 1 - erf(x);
}

/** Half to even, as PyTorch rounds. */
export function rounded(x: number): number {
  const below = Math.floor(x);
  const off = x - below;
  if (off !== 0.5) return off < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

const sigmoid: One = (x) => 1 / (1 + Math.exp(-x));
const softplus: One = (x) => (x > 0 ? x : 0) + Math.log1p(Math.exp(-Math.abs(x)));
const truth = (x: boolean): number => (x ? 1 : 0);
const clamp = (x: number, low: number, high: number): number => (x < low ? (low > high ? high : low) : x > high ? high : x);

/** Functions of one number; each is given the step's own numbers first. */
const UNARY: Record<string, (p: number[]) => One> = {
  abs: () => Math.abs,
  acos: () => Math.acos,
  acosh: () => Math.acosh,
  asin: () => Math.asin,
  asinh: () => Math.asinh,
  atan: () => Math.atan,
  atanh: () => Math.atanh,
  ceil: () => Math.ceil,
  clamp: ([low, high]) => (x) => clamp(x, low!, high!),
  copy: () => (x) => x,
  cos: () => Math.cos,
  cosh: () => Math.cosh,
  elu: ([below, above, inside]) => (x) => (x > 0 ? x * above! : below! * Math.expm1(x * inside!)),
  erf: () => erf,
  erfc: () => erfc,
  exp: () => Math.exp,
  exp2: () => (x) => 2 ** x,
  expm1: () => Math.expm1,
  floor: () => Math.floor,
  gelu: () => (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  gelu_tanh: () => (x) => 0.5 * x * (1 + Math.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))),
  hardshrink: ([most]) => (x) => (x >= -most! && x <= most! ? 0 : x),
  hardsigmoid: () => (x) => clamp(x + 3, 0, 6) / 6,
  hardswish: () => (x) => (x * clamp(x + 3, 0, 6)) / 6,
  isinf: () => (x) => truth(x === Infinity || x === -Infinity),
  isnan: () => (x) => truth(Number.isNaN(x)),
  leaky_relu: ([slope]) => (x) => (x > 0 ? x : x * slope!),
  log: () => Math.log,
  log10: () => Math.log10,
  log1p: () => Math.log1p,
  log2: () => Math.log2,
  log_sigmoid: () => (x) => -softplus(-x),
  logical_not: () => (x) => truth(x === 0),
  mish: () => (x) => x * Math.tanh(softplus(x)),
  neg: () => (x) => -x,
  reciprocal: () => (x) => 1 / x,
  relu: () => (x) => (x < 0 ? 0 : x),
  round: () => rounded,
  rsqrt: () => (x) => 1 / Math.sqrt(x),
  sigmoid: () => sigmoid,
  sign: () => Math.sign,
  silu: () => (x) => x * sigmoid(x),
  sin: () => Math.sin,
  sinh: () => Math.sinh,
  softplus: ([beta, threshold]) => (x) => (x * beta! > threshold! ? x : softplus(x * beta!) / beta!),
  softshrink: ([most]) => (x) => (x > most! ? x - most! : x < -most! ? x + most! : x * 0),
  sqrt: () => Math.sqrt,
  tan: () => Math.tan,
  tanh: () => Math.tanh,
  threshold: ([limit, value]) => (x) => (x <= limit! ? value! : x),
  trunc: () => Math.trunc,
};

const BINARY: Record<string, Two> = {
  atan2: Math.atan2,
  div: (x, y) => x / y,
  eq: (x, y) => truth(x === y),
  fmod: (x, y) => x % y,
  ge: (x, y) => truth(x >= y),
  gt: (x, y) => truth(x > y),
  le: (x, y) => truth(x <= y),
  logical_and: (x, y) => truth(x !== 0 && y !== 0),
  logical_or: (x, y) => truth(x !== 0 || y !== 0),
  logical_xor: (x, y) => truth((x !== 0) !== (y !== 0)),
  lt: (x, y) => truth(x < y),
  maximum: Math.max,
  minimum: Math.min,
  ne: (x, y) => truth(x !== y),
  pow: Math.pow,
  remainder: (x, y) => {
    const left = x % y;
    return left !== 0 && left < 0 !== y < 0 ? left + y : left;
  },
  sub: (x, y) => x - y,
};

/** Loops of their own for what decoders do most: a call for each number would cost more than the number. */
const FAST: Record<string, Loop> = {
  copy: (m, n, o, os, a, as) => {
    if (os === 1 && as === 1 && n > 24) {
      m.copyWithin(o, a, a + n);
      return;
    }
    for (let i = 0; i < n; i++, o += os, a += as) m[o] = m[a]!;
  },
  relu: (m, n, o, os, a, as) => {
    for (let i = 0; i < n; i++, o += os, a += as) {
      const x = m[a]!;
      m[o] = x < 0 ? 0 : x;
    }
  },
  gelu: (m, n, o, os, a, as) => {
    for (let i = 0; i < n; i++, o += os, a += as) {
      const x = m[a]!;
      m[o] = 0.5 * x * (1 + erf(x * Math.SQRT1_2));
    }
  },
  silu: (m, n, o, os, a, as) => {
    for (let i = 0; i < n; i++, o += os, a += as) {
      const x = m[a]!;
      m[o] = x / (1 + Math.exp(-x));
    }
  },
  sigmoid: (m, n, o, os, a, as) => {
    for (let i = 0; i < n; i++, o += os, a += as) m[o] = 1 / (1 + Math.exp(-m[a]!));
  },
  add: (m, n, o, os, a, as, b, bs) => {
    for (let i = 0; i < n; i++, o += os, a += as, b += bs) m[o] = m[a]! + m[b]!;
  },
  sub: (m, n, o, os, a, as, b, bs) => {
    for (let i = 0; i < n; i++, o += os, a += as, b += bs) m[o] = m[a]! - m[b]!;
  },
  mul: (m, n, o, os, a, as, b, bs) => {
    for (let i = 0; i < n; i++, o += os, a += as, b += bs) m[o] = m[a]! * m[b]!;
  },
  where: (m, n, o, os, a, as, b, bs, c, cs) => {
    for (let i = 0; i < n; i++, o += os, a += as, b += bs, c += cs) m[o] = m[a] !== 0 ? m[b]! : m[c]!;
  },
};

const OPERANDS: Record<string, number> = { add: 2, sub: 2, mul: 2, where: 3 };

function loopOf(step: Step): Loop {
  const { f } = step;
  const operands = Object.hasOwn(OPERANDS, f) ? OPERANDS[f]! : Object.hasOwn(BINARY, f) ? 2 : 1;
  if (step.in.length !== operands) unknownFunction(step);
  if (Object.hasOwn(FAST, f)) return FAST[f]!;
  if (operands === 2) {
    const two = BINARY[f]!;
    return (m, n, o, os, a, as, b, bs) => {
      for (let i = 0; i < n; i++, o += os, a += as, b += bs) m[o] = two(m[a]!, m[b]!);
    };
  }
  const make = Object.hasOwn(UNARY, f) ? UNARY[f]! : unknownFunction(step);
  const one = make(step.numbers);
  if (step.numbers.length < make.length && Number.isNaN(one(0))) unknownFunction(step);
  return (m, n, o, os, a, as) => {
    for (let i = 0; i < n; i++, o += os, a += as) m[o] = one(m[a]!);
  };
}

/** Positions of several operands in a walk over dimensions, the last dimension fastest. */
export class Walk {
  readonly at: Int32Array;
  private readonly counters: Int32Array;

  constructor(
    private readonly sizes: number[],
    private readonly starts: number[],
    private readonly strides: number[][],
  ) {
    this.at = new Int32Array(starts.length);
    this.counters = new Int32Array(sizes.length);
  }

  start(): void {
    for (let i = 0; i < this.at.length; i++) this.at[i] = this.starts[i]!;
    this.counters.fill(0);
  }

  /** Go to the next place; false after the last one. */
  next(): boolean {
    for (let axis = this.sizes.length - 1; axis >= 0; axis--) {
      const size = this.sizes[axis]!;
      const count = this.counters[axis]! + 1;
      if (count < size) {
        this.counters[axis] = count;
        for (let i = 0; i < this.at.length; i++) this.at[i]! += this.strides[i]![axis]!;
        return true;
      }
      this.counters[axis] = 0;
      for (let i = 0; i < this.at.length; i++) this.at[i]! -= this.strides[i]![axis]! * (size - 1);
    }
    return false;
  }
}

export function mapStep(step: Step, m: Float32Array): Run {
  const loop = loopOf(step);
  const places = [step.out, ...step.in];
  const rank = step.sizes.length;
  const n = rank === 0 ? 1 : step.sizes[rank - 1]!;
  const outer = step.sizes.slice(0, -1);
  const inner = places.map((one) => (rank === 0 ? 0 : one.strides[rank - 1]!));
  const walk = new Walk(outer, places.map((one) => one.at), places.map((one) => one.strides.slice(0, -1)));
  const [os, as, bs, cs] = [inner[0]!, inner[1]!, inner[2] ?? 0, inner[3] ?? 0];
  const two = places.length > 2 ? 2 : 1;
  const three = places.length > 3 ? 3 : 1;
  return () => {
    walk.start();
    const { at } = walk;
    do loop(m, n, at[0]!, os, at[1]!, as, at[two]!, bs, at[three]!, cs);
    while (walk.next());
  };
}

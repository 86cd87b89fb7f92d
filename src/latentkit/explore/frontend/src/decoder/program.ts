/** The decoder's program as it comes from Python (`decoder_program.py`), and its checks. */

/** Region (-1 weights, -2 exact numbers, else a buffer), offset, and a stride for each dimension of the step. */
export type PlaceData = [number, number, number[]];
export type NumberData = number | string;

export interface StepData {
  op: string;
  f: string;
  shape: number[][];
  out: PlaceData;
  in: (PlaceData | NumberData)[];
  p: NumberData[];
}

export interface Program {
  format: string;
  version: number;
  latent: number;
  shape: [number, number, number];
  output: [number, number];
  buffers: number[];
  exact: NumberData[];
  weights: number;
  steps: StepData[];
}

/** An operand: where it starts in memory, and its stride for each dimension of the step. */
export interface Place {
  at: number;
  strides: number[];
}

export interface Step {
  op: string;
  f: string;
  groups: number[][];
  /** Sizes of all dimensions: the groups one after the other. */
  sizes: number[];
  out: Place;
  in: Place[];
  numbers: number[];
}

/** A checked program, laid out in one memory of float32. */
export interface Plan {
  latent: { at: number; size: number };
  output: { at: number; size: number };
  shape: [number, number, number];
  /** Numbers in memory: weights, exact numbers, scalars, buffers. */
  size: number;
  /** Where `values` (exact numbers, then scalars) stand; the weights stand at 0. */
  valuesAt: number;
  values: number[];
  steps: Step[];
}

const MOST_NUMBERS = 2 ** 28; // 1 GiB
const MOST_STEPS = 20_000;
const MOST_WORK = 2 ** 36; // products and functions of numbers: many seconds
const MOST_DIMENSIONS = 32;

/** Groups of dimensions, and operands, of each kind of step; 0 operands: the function says how many. */
const KINDS: Record<string, { groups: number; inputs: number }> = {
  map: { groups: 1, inputs: 0 },
  reduce: { groups: 2, inputs: 1 },
  scan: { groups: 2, inputs: 1 },
  matmul: { groups: 4, inputs: 3 },
  taps: { groups: 3, inputs: 3 },
  gather: { groups: 1, inputs: 0 },
  scatter: { groups: 1, inputs: 0 },
};

export class ProgramError extends Error {
  override name = "ProgramError";
}

function fail(what: string): never {
  throw new ProgramError(`The decoder in this page is damaged: ${what}.`);
}

function count(value: unknown, what: string, most = MOST_NUMBERS): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > most) fail(`${what} is no count`);
  return value;
}

function integer(value: unknown, what: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || Math.abs(value) > MOST_NUMBERS) fail(`${what} is no integer`);
  return value;
}

function list(value: unknown, what: string, most: number): unknown[] {
  if (!Array.isArray(value) || value.length > most) fail(`${what} is no list`);
  return value as unknown[];
}

function decimal(value: unknown, what: string): number {
  if (typeof value === "number") return value;
  if (value === "inf") return Infinity;
  if (value === "-inf") return -Infinity;
  if (value === "nan") return NaN;
  return fail(`${what} is no number`);
}

/** Smallest and largest place that an operand reaches, each dimension included that `sizes` has. */
function reach(offset: number, strides: number[], sizes: number[]): [number, number] {
  let low = offset;
  let high = offset;
  strides.forEach((stride, axis) => {
    const far = stride * (sizes[axis]! - 1);
    if (far < 0) low += far;
    else high += far;
  });
  return [low, high];
}

class Layout {
  readonly starts: number[] = [];
  readonly sizes: number[] = [];
  readonly values: number[] = [];
  readonly weights: number;
  readonly exact: number;
  size = 0;

  constructor(program: Program) {
    this.weights = count(program.weights, "the number of weights");
    this.values = list(program.exact, "exact", MOST_NUMBERS).map((one) => decimal(one, "an exact number"));
    this.exact = this.values.length;
    for (const one of list(program.buffers, "buffers", MOST_STEPS * 2)) this.sizes.push(count(one, "a buffer's size"));
    if (this.sizes.length === 0) fail("it has no buffers");
  }

  /** Size of a region, and whether it is one at all. */
  region(number: number): number {
    if (number === -1) return this.weights;
    if (number === -2) return this.exact;
    return this.sizes[number] ?? fail("a place is in no buffer");
  }

  /** Give each buffer its place, after all scalars are known. */
  finish(): number {
    let at = this.weights + this.values.length;
    for (const size of this.sizes) {
      at = Math.ceil(at / 4) * 4;
      this.starts.push(at);
      at += size;
    }
    if (at > MOST_NUMBERS) fail("it needs more than 1 GiB");
    this.size = at;
    return at;
  }

  at(region: number, offset: number): number {
    if (region === -1) return offset;
    if (region === -2) return this.weights + offset;
    return this.starts[region]! + offset;
  }
}

interface Pending {
  region: number;
  offset: number;
  strides: number[];
}

/** What a step reaches beyond its strides: by indices, for its result or its first operand. */
function extras(op: string, numbers: number[], inputs: number): { pairs: [number, number][]; onOutput: boolean } {
  if (op === "taps") {
    const [taps, stride, size] = [count(numbers[0], "taps"), integer(numbers[1], "a stride"), count(numbers[2], "a size")];
    if (numbers.length !== 3 || taps < 1 || size < 1) fail("taps have wrong numbers");
    return { pairs: [[size, stride]], onOutput: false };
  }
  if (op !== "gather" && op !== "scatter") return { pairs: [], onOutput: false };
  const indices = inputs - 1;
  if (indices < 1 || numbers.length !== 2 * indices) fail(`a ${op} has wrong numbers`);
  const pairs: [number, number][] = [];
  for (let i = 0; i < indices; i++) {
    const size = count(numbers[2 * i], "a size");
    if (size < 1) fail("an axis is empty");
    pairs.push([size, integer(numbers[2 * i + 1], "a stride")]);
  }
  return { pairs, onOutput: op === "scatter" };
}

function inside(layout: Layout, place: Pending, sizes: number[], pairs: [number, number][]): void {
  const strides = [...place.strides, ...pairs.map((one) => one[1])];
  const [low, high] = reach(place.offset, strides, [...sizes, ...pairs.map((one) => one[0])]);
  if (low < 0 || high >= layout.region(place.region)) fail("a step reaches outside its buffer");
}

function checkedStep(layout: Layout, raw: StepData): { step: Step; out: Pending; inputs: (Pending | number)[]; work: number } {
  if (typeof raw !== "object" || (raw as unknown) === null) fail("a step is none");
  const kind = typeof raw.op === "string" && Object.hasOwn(KINDS, raw.op) ? KINDS[raw.op]! : fail("a step is of no known kind");
  if (typeof raw.f !== "string") fail("a step has no function");
  const groups = list(raw.shape, "a shape", 4).map((group) =>
    list(group, "a shape", MOST_DIMENSIONS).map((one) => count(one, "a size")),
  );
  if (groups.length !== kind.groups) fail(`a ${raw.op} has wrong groups`);
  const sizes = groups.flat();
  let work = 1;
  for (const one of sizes) {
    work *= one;
    if (one < 1 || work > MOST_WORK) fail("a step is empty or too large");
  }
  const place = (given: unknown): Pending => {
    const [region, offset, strides] = list(given, "a place", 3);
    const found = list(strides, "strides", MOST_DIMENSIONS).map((one) => integer(one, "a stride"));
    if (found.length !== sizes.length) fail("a place has wrong strides");
    return { region: integer(region, "a region"), offset: count(offset, "an offset"), strides: found };
  };
  const inputs = list(raw.in, "operands", 32).map((one) => (Array.isArray(one) ? place(one) : decimal(one, "an operand")));
  if (kind.inputs > 0 && inputs.length !== kind.inputs) fail(`a ${raw.op} has wrong operands`);
  const numbers = list(raw.p, "numbers", 64).map((one) => decimal(one, "a number"));
  const out = place(raw.out);
  if (out.region < 1) fail("a step writes over what it is given");
  const { pairs, onOutput } = extras(raw.op, numbers, inputs.length);
  inside(layout, out, sizes, onOutput ? pairs : []);
  inputs.forEach((one, number) => {
    if (typeof one !== "number") inside(layout, one, sizes, !onOutput && number === 0 ? pairs : []);
  });
  if ((raw.op === "gather" || raw.op === "taps") && typeof inputs[0] === "number") fail(`a ${raw.op} reads a number`);
  if (raw.op === "matmul") checkProduct(groups, out, inputs);
  if (raw.op === "taps") work *= checkTaps(layout, groups, inputs, numbers);
  const step = { op: raw.op, f: raw.f, groups, sizes, out: { at: 0, strides: out.strides }, in: [], numbers };
  return { step, out, inputs, work };
}

function product(sizes: number[]): number {
  return sizes.reduce((whole, one) => whole * one, 1);
}

/** The kernel reads rows of the left matrix without strides, and nothing else depends on what it does not have. */
function checkProduct(groups: number[][], out: Pending, inputs: (Pending | number)[]): void {
  const [batch, rows, inner] = groups.map((one) => one.length);
  const [left, right, offset] = inputs;
  if (typeof left !== "object" || typeof right !== "object") fail("a product has no matrix");
  const part = (place: Pending, start: number, size: number) => place.strides.slice(start, start + size);
  const zero = (strides: number[]) => strides.every((one) => one === 0);
  const columnsAt = batch! + rows! + inner!;
  const columns = groups[3]!.length;
  let expected = 1;
  for (let axis = inner! - 1; axis >= 0; axis--) {
    if (left.strides[batch! + rows! + axis] !== expected) fail("a product's matrix is not in order");
    expected *= groups[2]![axis]!;
  }
  const fits =
    zero(part(left, columnsAt, columns)) &&
    zero(part(right, batch!, rows!)) &&
    zero(part(out, batch! + rows!, inner!)) &&
    (typeof offset === "number" ? offset === 0 : zero(part(offset!, batch! + rows!, inner! + columns)));
  if (!fits) fail("a product has wrong strides");
}

/** The tables of taps are read without strides. */
function checkTaps(layout: Layout, groups: number[][], inputs: (Pending | number)[], numbers: number[]): number {
  const entries = product(groups[1]!) * numbers[0]!;
  for (const one of inputs.slice(1)) {
    if (typeof one === "number" || one.offset + entries > layout.region(one.region)) fail("taps have no table");
  }
  return numbers[0]!;
}

/**
 * Check a program, and lay it out in memory.
 *
 * @throws ProgramError if anything in it does not fit: it never reaches outside its memory, and ends.
 */
export function planned(program: Program, weights: number): Plan {
  if (typeof program !== "object" || (program as unknown) === null) fail("it has no program");
  if (program.format !== "latentkit-decoder") fail("its format is another");
  if (program.version !== 1) fail(`its version is ${String(program.version)}, and this page knows 1`);
  const layout = new Layout(program);
  if (layout.weights !== weights) fail(`it has ${weights} weights instead of ${layout.weights}`);
  let work = 0;
  const pending = list(program.steps, "steps", MOST_STEPS).map((one) => {
    const found = checkedStep(layout, one as StepData);
    work += found.work;
    if (work > MOST_WORK) fail("it would take too long");
    return found;
  });
  const shape = list(program.shape, "the image's shape", 3).map((one) => count(one, "a side"));
  if (shape.length !== 3 || product(shape) < 1 || product(shape) > MOST_NUMBERS) fail("its image has no shape");
  const [region, offset] = list(program.output, "the output", 2);
  const output: Pending = { region: integer(region, "a region"), offset: count(offset, "an offset"), strides: [1] };
  if (output.region < 0) fail("its image is constant");
  inside(layout, output, [product(shape)], []);
  if (layout.region(0) !== count(program.latent, "the number of latents") || layout.region(0) < 1) fail("its latents are not counted");
  const scalars = pending.map(({ inputs }) =>
    inputs.map((one) => (typeof one === "number" ? layout.values.push(one) - 1 : -1)),
  );
  const size = layout.finish();
  pending.forEach(({ step, out, inputs }, number) => {
    step.out.at = layout.at(out.region, out.offset);
    step.in = inputs.map((one, index) =>
      typeof one === "number"
        ? { at: layout.weights + scalars[number]![index]!, strides: step.sizes.map(() => 0) }
        : { at: layout.at(one.region, one.offset), strides: one.strides },
    );
    // A number as an offset of a product is 0.
    if (step.op === "matmul" && typeof inputs[2] === "number") step.in[2] = { at: -1, strides: step.sizes.map(() => 0) };
  });
  return {
    latent: { at: layout.at(0, 0), size: layout.region(0) },
    output: { at: layout.at(output.region, output.offset), size: product(shape) },
    shape: shape as [number, number, number],
    size,
    valuesAt: layout.weights,
    values: layout.values,
    steps: pending.map(({ step }) => step),
  };
}

export function unknownFunction(step: Step): never {
  fail(`it uses ${step.op} ${step.f.slice(0, 40)}, which this page does not know`);
}

/** Products of matrices and of windows, in WebAssembly where that is allowed. */
import { offsetsOf } from "./reductions";
import { KERNEL_BASE64 } from "./kernel_wasm";
import { type Place, type Step, unknownFunction } from "./program";

type Run = () => void;
type Kernel = (...numbers: number[]) => void;

const WIDE = 8; // columns that the kernel multiplies at a time
const ACTIVATIONS = ["none", "relu", "leaky_relu"];

/** The tables of one product: distances of its rows, columns and inner places, in numbers. */
interface Tables {
  lefts: Int32Array;
  rights: Int32Array;
  columns: Int32Array;
  rows: Int32Array;
  targets: Int32Array;
  offsets: Int32Array;
}

export interface Product {
  step: Step;
  tables: Tables;
  /** For each entry of the batch: where left, right, result and offset begin. */
  batch: Int32Array[];
  activation: number;
  slope: number;
  inner: number;
}

export function productOf(step: Step): Product {
  const activation = ACTIVATIONS.indexOf(step.f);
  if (activation < 0 || (activation === 2 && step.numbers.length !== 1)) unknownFunction(step);
  const [batch, rows, inner, columns] = step.groups as [number[], number[], number[], number[]];
  const [b, r, k] = [batch.length, rows.length, inner.length];
  const [left, right, offset] = step.in as [Place, Place, Place];
  const part = (sizes: number[], place: { strides: number[] }, from: number) =>
    offsetsOf(sizes, place.strides.slice(from, from + sizes.length));
  return {
    step,
    tables: {
      lefts: part(rows, left, b),
      rights: part(inner, right, b + r),
      columns: part(columns, right, b + r + k),
      rows: part(rows, step.out, b),
      targets: part(columns, step.out, b + r + k),
      offsets: part(rows, offset, b),
    },
    batch: [left, right, step.out, offset].map((one) => part(batch, one, 0)),
    activation,
    slope: step.numbers[0] ?? 0,
    inner: inner.reduce((whole, one) => whole * one, 1),
  };
}

/** Bytes that products need beyond the numbers: their tables, and one panel. */
export function tableBytes(products: Product[]): number {
  let [bytes, inner] = [0, 1];
  for (const one of products) {
    for (const table of Object.values(one.tables) as Int32Array[]) bytes += table.byteLength;
    inner = Math.max(inner, one.inner);
  }
  return bytes + inner * WIDE * 4 + 16;
}

/** Start the kernel in a memory; null where WebAssembly, or its vectors, are not allowed. */
export async function startKernel(memory: WebAssembly.Memory): Promise<Kernel | null> {
  try {
    const bytes = Uint8Array.from(atob(KERNEL_BASE64), (one) => one.charCodeAt(0));
    const { instance } = await WebAssembly.instantiate(bytes, { env: { memory, abort: () => undefined } });
    return instance.exports["matmul"] as Kernel;
  } catch {
    return null;
  }
}

/** The steps of products in WebAssembly. `tablesAt` is the first free byte after the numbers. */
export function kernelSteps(products: Product[], kernel: Kernel, buffer: ArrayBuffer, tablesAt: number): Run[] {
  const panel = Math.ceil(tablesAt / 16) * 16;
  let free = panel + products.reduce((most, one) => Math.max(most, one.inner), 1) * WIDE * 4;
  const stored = (table: Int32Array): number => {
    const at = free;
    new Int32Array(buffer, at, table.length).set(table.map((one) => one * 4));
    free += table.byteLength;
    return at;
  };
  return products.map((one) => {
    const { step, batch } = one;
    const [left, right, offset] = step.in as [Place, Place, Place];
    const [lefts, rights, columns, rows, targets, offsets] = [
      stored(one.tables.lefts), stored(one.tables.rights), stored(one.tables.columns),
      stored(one.tables.rows), stored(one.tables.targets), stored(one.tables.offsets),
    ];
    const [m, n] = [one.tables.rows.length, one.tables.columns.length];
    const [atLeft, atRight, atResult, atOffset] = batch as [Int32Array, Int32Array, Int32Array, Int32Array];
    return () => {
      for (let i = 0; i < atLeft.length; i++) {
        kernel(
          (left.at + atLeft[i]!) * 4, lefts, (right.at + atRight[i]!) * 4, rights, columns,
          (step.out.at + atResult[i]!) * 4, rows, targets, offset.at < 0 ? 0 : (offset.at + atOffset[i]!) * 4, offsets,
          m, one.inner, n, one.activation, one.slope, panel,
        );
      }
    };
  });
}

/** One product without WebAssembly. */
export function plainStep(one: Product, m: Float32Array): Run {
  const { step, tables, batch, inner, activation, slope } = one;
  const [left, right, offset] = step.in as [Place, Place, Place];
  const column = new Float32Array(inner);
  return () => {
    for (let i = 0; i < batch[0]!.length; i++) {
      const from = right.at + batch[1]![i]!;
      for (let n = 0; n < tables.columns.length; n++) {
        const start = from + tables.columns[n]!;
        for (let k = 0; k < inner; k++) column[k] = m[start + tables.rights[k]!]!;
        for (let row = 0; row < tables.rows.length; row++) {
          const a = left.at + batch[0]![i]! + tables.lefts[row]!;
          let total = offset.at < 0 ? 0 : m[offset.at + batch[3]![i]! + tables.offsets[row]!]!;
          for (let k = 0; k < inner; k++) total += m[a + k]! * column[k]!;
          if (activation > 0 && total < 0) total *= activation === 1 ? 0 : slope;
          m[step.out.at + batch[2]![i]! + tables.rows[row]! + tables.targets[n]!] = total;
        }
      }
    }
  };
}

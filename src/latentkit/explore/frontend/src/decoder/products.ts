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

/** One product without WebAssembly: four rows at a time, so that each column is read a quarter as often. */
export function plainStep(one: Product, m: Float32Array): Run {
  const { step, tables, batch, inner, activation, slope } = one;
  const [left, right, offset] = step.in as [Place, Place, Place];
  const [lefts, rights, results, offsets] = batch as [Int32Array, Int32Array, Int32Array, Int32Array];
  const below = activation === 0 ? 1 : activation === 1 ? 0 : slope; // factor of a negative result
  const rows = tables.rows.length;
  const column = new Float32Array(inner);
  const sums = new Float64Array(4);
  return () => {
    for (let i = 0; i < lefts.length; i++) {
      const a = left.at + lefts[i]!;
      const result = step.out.at + results[i]!;
      for (let n = 0; n < tables.columns.length; n++) {
        const start = right.at + rights[i]! + tables.columns[n]!;
        for (let k = 0; k < inner; k++) column[k] = m[start + tables.rights[k]!]!;
        for (let row = 0; row < rows; row += 4) {
          const last = rows - 1;
          fourRows(
            m, column, sums, a + tables.lefts[row]!, a + tables.lefts[Math.min(row + 1, last)]!,
            a + tables.lefts[Math.min(row + 2, last)]!, a + tables.lefts[Math.min(row + 3, last)]!,
          );
          for (let j = 0; j < 4 && row + j < rows; j++) {
            let total = sums[j]!;
            if (offset.at >= 0) total += m[offset.at + offsets[i]! + tables.offsets[row + j]!]!;
            m[result + tables.rows[row + j]! + tables.targets[n]!] = total < 0 ? total * below : total;
          }
        }
      }
    }
  };
}

/** Dot products of a column with four rows. */
function fourRows(m: Float32Array, column: Float32Array, sums: Float64Array, a: number, b: number, c: number, d: number): void {
  let [first, second, third, fourth] = [0, 0, 0, 0];
  for (let k = 0; k < column.length; k++) {
    const x = column[k]!;
    first += m[a + k]! * x;
    second += m[b + k]! * x;
    third += m[c + k]! * x;
    fourth += m[d + k]! * x;
  }
  sums[0] = first;
  sums[1] = second;
  sums[2] = third;
  sums[3] = fourth;
}

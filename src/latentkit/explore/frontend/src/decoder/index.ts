/** The run's decoder, in the page: a recorded program of PyTorch's operations, and what runs it. */
import { gatherStep, scatterStep, tapsStep } from "./indexing";
import { mapStep } from "./maps";
import { kernelSteps, plainStep, productOf, startKernel, tableBytes } from "./products";
import { type Plan, type Program, planned, ProgramError, type Step } from "./program";
import { reduceStep, scanStep } from "./reductions";

export { type Program, ProgramError } from "./program";

export interface Decoder {
  /** C, H, W. */
  readonly shape: [number, number, number];
  /** The image (C * H * W numbers in [0, 1]) of a latent. The next call writes over what this one returns. */
  decode(latent: Float32Array): Float32Array;
}

const PAGE = 65_536; // bytes of WebAssembly

/**
 * Make a program ready to run. All memory is allocated here; `decode` allocates nothing.
 *
 * @throws ProgramError if the program or its weights are damaged.
 */
export async function createDecoder(program: Program, weights: Float32Array, plain = false): Promise<Decoder> {
  const plan = planned(program, weights.length);
  const products = plan.steps.filter((one) => one.op === "matmul").map(productOf);
  const tablesAt = plan.size * 4;
  const pages = Math.ceil((tablesAt + 16 + tableBytes(products)) / PAGE) + 1;
  const memory = plain ? null : newMemory(pages);
  const kernel = memory === null ? null : await startKernel(memory);
  const buffer = memory !== null && kernel !== null ? memory.buffer : new ArrayBuffer(tablesAt);
  const numbers = new Float32Array(buffer, 0, plan.size);
  numbers.set(weights, 0);
  numbers.set(plan.values, plan.valuesAt);
  const multiplied =
    kernel === null
      ? products.map((one) => plainStep(one, numbers))
      : kernelSteps(products, kernel, buffer, tablesAt);
  let next = 0;
  const steps = plan.steps.map((one) => (one.op === "matmul" ? multiplied[next++]! : stepOf(one, numbers)));
  return new ProgramDecoder(plan, steps, numbers);
}

function newMemory(pages: number): WebAssembly.Memory | null {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages });
  } catch {
    return null; // not there, or not so much of it
  }
}

function stepOf(step: Step, numbers: Float32Array): () => void {
  switch (step.op) {
    case "map":
      return mapStep(step, numbers);
    case "reduce":
      return reduceStep(step, numbers);
    case "scan":
      return scanStep(step, numbers);
    case "gather":
      return gatherStep(step, numbers);
    case "scatter":
      return scatterStep(step, numbers);
    default:
      return tapsStep(step, numbers);
  }
}

class ProgramDecoder implements Decoder {
  readonly shape: [number, number, number];
  private readonly latent: Float32Array;
  private readonly image: Float32Array;

  constructor(
    plan: Plan,
    private readonly steps: (() => void)[],
    numbers: Float32Array,
  ) {
    this.shape = plan.shape;
    this.latent = numbers.subarray(plan.latent.at, plan.latent.at + plan.latent.size);
    this.image = numbers.subarray(plan.output.at, plan.output.at + plan.output.size);
  }

  decode(latent: Float32Array): Float32Array {
    if (latent.length !== this.latent.length) {
      throw new ProgramError(`The decoder takes ${this.latent.length} latents, not ${latent.length}.`);
    }
    this.latent.set(latent);
    for (const step of this.steps) step();
    return this.image;
  }
}

/** Largest difference between a decoder's images and PyTorch's, (N, C, H, W), of the same latents (N, D). */
export function largestDifference(decoder: Decoder, latents: Float32Array, images: Float32Array): number {
  const size = decoder.shape[0] * decoder.shape[1] * decoder.shape[2];
  const count = images.length / size;
  const width = latents.length / count;
  if (count < 1 || !Number.isInteger(count) || !Number.isInteger(width)) {
    throw new ProgramError("The stored images do not belong to this decoder.");
  }
  let largest = 0;
  for (let i = 0; i < count; i++) {
    const found = decoder.decode(latents.subarray(i * width, (i + 1) * width));
    for (let j = 0; j < size; j++) {
      const off = Math.abs(found[j]! - images[i * size + j]!);
      // A number that is none is as far off as can be.
      if (!(off <= largest)) largest = Number.isNaN(off) ? Infinity : off;
    }
  }
  return largest;
}

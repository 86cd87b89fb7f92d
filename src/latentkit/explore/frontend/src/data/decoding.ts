// The run's decoder in the page, and how far it is from PyTorch's.

import { createDecoder, type Decoder, largestDifference, type Program } from "../decoder/index";
import { context2d, h } from "../dom";
import { type Space } from "./dataset";

export interface LiveDecoder {
  decoder: Decoder;
  /** Largest difference of a pixel to PyTorch's on the latents that the page has for this. */
  difference: number;
  compared: number;
  /** Decodes a latent, and draws it to fill a canvas. */
  draw(latent: Float32Array, canvas: HTMLCanvasElement): void;
}

export async function liveDecoder(space: Space): Promise<LiveDecoder | null> {
  const header = space.header.decoder;
  if (!header) return null;
  const { container } = space.data;
  const [program, weights, latents, images] = await Promise.all([
    container.json(header.program), container.f32(header.weights), container.f32(header.probe.latents), container.f32(header.probe.images),
  ]);
  const decoder = await createDecoder(program as Program, weights);
  const [, height, width] = decoder.shape;
  const channels = container.header.items.images?.channels;
  const pixels = new ImageData(width, height);
  const small = h("canvas", { width, height });
  return {
    decoder,
    difference: largestDifference(decoder, latents, images),
    compared: latents.length / space.dim,
    draw(latent, canvas) {
      asPixels(decoder.decode(latent), decoder.shape, pixels.data, channels);
      context2d(small).putImageData(pixels, 0, 0);
      const context = context2d(canvas);
      context.imageSmoothingEnabled = canvas.width < width;
      context.drawImage(small, 0, 0, canvas.width, canvas.height);
    },
  };
}

/**
 * Values in [0, 1] as red, green, blue.
 *
 * @param shown the channels that are shown, three or one as grey; without them, the first three, or the first of fewer.
 */
export function asPixels(values: Float32Array, shape: readonly [number, number, number], into: Uint8ClampedArray, shown?: readonly number[]): void {
  const [channels, height, width] = shape;
  const plane = height * width;
  const known = shown?.length && shown.every((channel) => channel >= 0 && channel < channels) ? shown : channels >= 3 ? [0, 1, 2] : [0];
  const r = known[0]! * plane;
  const [g, b] = known.length >= 3 ? [known[1]! * plane, known[2]! * plane] : [r, r];
  for (let p = 0; p < plane; p++) {
    into[4 * p] = 255 * values[p + r]!;
    into[4 * p + 1] = 255 * values[p + g]!;
    into[4 * p + 2] = 255 * values[p + b]!;
    into[4 * p + 3] = 255;
  }
}

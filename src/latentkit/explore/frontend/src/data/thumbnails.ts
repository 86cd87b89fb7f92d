// Small images of the items, cut from atlases that are decoded when one of their images is first shown.

import { type Container, type ImagesHeader, LayoutError } from "../layout";
import { context2d, h } from "../dom";

export class Thumbnails {
  readonly header: ImagesHeader | null;
  /** Width divided by height. */
  readonly aspect: number;
  private readonly bitmaps = new Map<number, ImageBitmap>();
  private readonly loading = new Map<number, Promise<void>>();
  private readonly listeners: (() => void)[] = [];
  private scratch: CanvasRenderingContext2D | null = null;

  /** @param fault is told of an atlas that cannot be read or decoded. */
  constructor(private readonly container: Container, private readonly fault: (reason: unknown) => void) {
    this.header = container.header.items.images;
    this.aspect = this.header ? this.header.tile[1] / this.header.tile[0] : 1;
  }

  get available(): boolean {
    return this.header !== null;
  }

  /** Calls back when more images can be drawn. */
  onLoad(listener: () => void): void {
    this.listeners.push(listener);
  }

  /** Draws an item's image; false if it is not there yet, and then it is being decoded. */
  draw(context: CanvasRenderingContext2D, item: number, x: number, y: number, width: number, height: number): boolean {
    const { header } = this;
    if (!header) return false;
    const [tileHeight, tileWidth] = header.tile;
    const each = header.columns * header.rows;
    const atlas = Math.floor(item / each);
    const bitmap = this.bitmaps.get(atlas);
    if (!bitmap) {
      void this.load(atlas);
      return false;
    }
    const place = item % each;
    context.imageSmoothingEnabled = width * devicePixelRatio < tileWidth * 2 && width !== tileWidth;
    context.drawImage(
      bitmap,
      (place % header.columns) * tileWidth, Math.floor(place / header.columns) * tileHeight, tileWidth, tileHeight,
      x, y, width, height,
    );
    return true;
  }

  /** Decodes the atlas of an item. */
  async ready(item: number): Promise<void> {
    const { header } = this;
    if (header) await this.load(Math.floor(item / (header.columns * header.rows)));
  }

  /** Red, green, blue and alpha of an item's image, row by row; null if it is not there yet. */
  pixels(item: number): Uint8ClampedArray | null {
    const { header } = this;
    if (!header) return null;
    const [height, width] = header.tile;
    if (!this.scratch) {
      const canvas = h("canvas", { width, height });
      this.scratch = context2d(canvas, { willReadFrequently: true });
    }
    return this.draw(this.scratch, item, 0, 0, width, height) ? this.scratch.getImageData(0, 0, width, height).data : null;
  }

  /** The mean of some items' images as red, green and blue from 0 to 255; null without images. */
  async mean(items: Uint32Array, cancelled: () => boolean): Promise<ImageData | null> {
    const { header } = this;
    if (!header || items.length === 0) return null;
    const [height, width] = header.tile;
    const sums = new Float64Array(width * height * 3);
    for (let i = 0; i < items.length; i++) {
      await this.ready(items[i]!);
      if (i % 500 === 499) await new Promise((resolve) => setTimeout(resolve));
      if (cancelled()) return null;
      const pixels = this.pixels(items[i]!);
      if (!pixels) return null;
      for (let p = 0, s = 0; p < pixels.length; p += 4, s += 3) {
        sums[s]! += pixels[p]!;
        sums[s + 1]! += pixels[p + 1]!;
        sums[s + 2]! += pixels[p + 2]!;
      }
    }
    const image = new ImageData(width, height);
    for (let p = 0, s = 0; s < sums.length; p += 4, s += 3) {
      for (let c = 0; c < 3; c++) image.data[p + c] = Math.round(sums[s + c]! / items.length);
      image.data[p + 3] = 255;
    }
    return image;
  }

  private load(atlas: number): Promise<void> {
    let promise = this.loading.get(atlas);
    if (!promise) {
      promise = this.decode(atlas).catch((reason: unknown) => this.fault(reason));
      this.loading.set(atlas, promise);
    }
    return promise;
  }

  private async decode(atlas: number): Promise<void> {
    const { header } = this;
    const section = header?.atlases[atlas];
    if (!header || !section) return;
    const bytes = await this.container.bytes(section);
    const blob = new Blob([bytes as BlobPart], { type: header.mime });
    const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" }).catch(() => {
      throw new LayoutError(`Images cannot be shown: this browser does not read part ${section.name}, which is ${header.mime}.`);
    });
    this.bitmaps.set(atlas, bitmap);
    for (const listener of this.listeners) listener();
  }
}

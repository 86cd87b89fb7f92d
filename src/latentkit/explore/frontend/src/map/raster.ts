// Draws points into the pixels of an ImageData. No WebGL: it is often missing, and this is fast enough.

import { SHAPES, type Shape } from "../palette";
import { type Paint } from "../paint";
import { type Camera } from "./camera";

const SUB = 4; // places within a pixel for which a mark is drawn of its own, a side
const SAMPLES = 4; // samples a side within a pixel, which smooth the edge of a mark

interface Sprite {
  reach: number;
  /** For each place within a pixel: x, y and cover (1 to 256) of each pixel. */
  cells: Int32Array[];
}

function inside(shape: Shape, x: number, y: number, r: number): boolean {
  switch (shape) {
    case "disc": return x * x + y * y <= r * r;
    case "square": return Math.max(Math.abs(x), Math.abs(y)) <= r * 0.88;
    case "triangle": return y <= r * 0.8 && y >= 2 * Math.abs(x) - r * 1.15;
    case "diamond": return Math.abs(x) + Math.abs(y) <= r * 1.25;
    case "plus": return Math.min(Math.abs(x), Math.abs(y)) <= r * 0.34 && Math.max(Math.abs(x), Math.abs(y)) <= r * 1.15;
    case "ring": {
      const d = x * x + y * y;
      return d <= r * r * 1.1 && d >= r * r * 0.36;
    }
  }
}

function makeSprite(shape: Shape, radius: number): Sprite {
  const reach = Math.ceil(radius * 1.3) + 1;
  const cells: Int32Array[] = [];
  for (let sub = 0; sub < SUB * SUB; sub++) {
    const cx = ((sub % SUB) + 0.5) / SUB;
    const cy = (Math.floor(sub / SUB) + 0.5) / SUB;
    const found: number[] = [];
    for (let py = -reach; py <= reach; py++) {
      for (let px = -reach; px <= reach; px++) {
        let cover = 0;
        for (let s = 0; s < SAMPLES * SAMPLES; s++) {
          const x = px + ((s % SAMPLES) + 0.5) / SAMPLES - cx;
          const y = py + (Math.floor(s / SAMPLES) + 0.5) / SAMPLES - cy;
          if (inside(shape, x, y, radius)) cover++;
        }
        if (cover) found.push(px, py, (cover * 256) / (SAMPLES * SAMPLES));
      }
    }
    cells.push(Int32Array.from(found));
  }
  return { reach, cells };
}

export interface PointStyle {
  /** In pixels of the screen. */
  radius: number;
  /** From 0 to 1. */
  opacity: number;
  /** Colour of points that are filtered out or not selected. */
  grey: number;
  greyOpacity: number;
  /** 1 draws all points, 3 one in three. */
  every: number;
}

export class Raster {
  private image: ImageData;
  private pixels: Uint32Array;
  private readonly sprites = new Map<string, Sprite>();

  constructor(private width: number, private height: number) {
    this.image = new ImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  resize(width: number, height: number): void {
    if (width === this.width && height === this.height) return;
    this.width = width;
    this.height = height;
    this.image = new ImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  clear(background: number): void {
    this.pixels.fill(background);
  }

  /** Draws the points of a paint: greyed ones first. */
  points(positions: Float32Array, camera: Camera, paint: Paint, style: PointStyle): void {
    const { radius, opacity, grey, greyOpacity, every } = style;
    this.marks(positions, camera, paint.back, paint.shapes, null, grey, radius * 0.9, greyOpacity, every);
    this.marks(positions, camera, paint.front, paint.shapes, paint.colours, 0, radius, opacity, every);
  }

  show(context: CanvasRenderingContext2D): void {
    context.putImageData(this.image, 0, 0);
  }

  private marks(
    positions: Float32Array, camera: Camera, items: Uint32Array, shapes: Uint8Array | null,
    colours: Uint32Array | null, colour: number, radius: number, opacity: number, every: number,
  ): void {
    const { width, height, pixels } = this;
    const sprites = (shapes ? SHAPES : SHAPES.slice(0, 1)).map((shape) => this.sprite(shape, radius));
    const scale = camera.scale;
    const left = width / 2 - camera.x * scale;
    const top = height / 2 + camera.y * scale;
    const strength = Math.round(opacity * 256);
    let sprite = sprites[0]!;
    let reach = sprite.reach;
    for (let place = 0; place < items.length; place += every) {
      const item = items[place]!;
      const x = positions[2 * item]! * scale + left;
      const y = top - positions[2 * item + 1]! * scale;
      // The comparisons also leave out what is not a number.
      if (!(x > -reach && y > -reach && x < width + reach && y < height + reach)) continue;
      if (shapes) {
        sprite = sprites[shapes[item]!]!;
        reach = sprite.reach;
      }
      const px = Math.floor(x);
      const py = Math.floor(y);
      const cells = sprite.cells[Math.floor((x - px) * SUB) + SUB * Math.floor((y - py) * SUB)]!;
      const source = colours ? colours[item]! : colour;
      const whole = px >= reach && py >= reach && px < width - reach && py < height - reach;
      const rb = source & 0xff00ff;
      const g = source & 0x00ff00;
      for (let c = 0; c < cells.length; c += 3) {
        const dx = px + cells[c]!;
        const dy = py + cells[c + 1]!;
        if (!whole && (dx < 0 || dy < 0 || dx >= width || dy >= height)) continue;
        const at = dy * width + dx;
        const a = (cells[c + 2]! * strength) >> 8;
        const under = pixels[at]!;
        const urb = under & 0xff00ff;
        const ug = under & 0x00ff00;
        // Two channels at a time; what overflows into the next one is masked away.
        pixels[at] =
          0xff000000 |
          ((urb + (Math.imul(rb - urb, a) >>> 8)) & 0xff00ff) |
          ((ug + (Math.imul(g - ug, a) >>> 8)) & 0x00ff00);
      }
    }
  }

  private sprite(shape: Shape, radius: number): Sprite {
    const rounded = Math.max(0.5, Math.round(radius * 4) / 4);
    const key = `${shape}${rounded}`;
    let sprite = this.sprites.get(key);
    if (!sprite) {
      if (this.sprites.size > 200) this.sprites.clear();
      this.sprites.set(key, (sprite = makeSprite(shape, rounded)));
    }
    return sprite;
  }
}

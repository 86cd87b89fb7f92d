// What is drawn over the points: images, names of classes, density, rings and lines.

import { contourDensity } from "d3-contour";
import { type App } from "../app";
import { type LatentMap } from "../data/dataset";
import { classColour } from "../palette";
import { type ColourScale, type Paint } from "../paint";
import { css } from "../palette";
import { type Camera } from "./camera";
import { type Placement } from "./placement";

const MOST_NAMES = 40;
const MOST_IMAGES = 700;
const GRID = 480; // cells a side on which density is measured

export interface Drawn {
  context: CanvasRenderingContext2D;
  camera: Camera;
  placement: Placement;
  map: LatentMap;
}

interface NameColours {
  text: string;
  halo: string;
}

interface ClassName {
  label: number;
  text: string;
  item: number;
  count: number;
}

/** The item in the middle of each class: where its name is written. */
export class ClassNames {
  private names: ClassName[] = [];
  private labels: ArrayLike<number> | null = null;
  private version = -1;
  private placement: Placement | null = null;

  draw(drawn: Drawn, scale: ColourScale | null, hidden: ReadonlySet<number>, colours: NameColours): void {
    if (scale?.kind !== "class" || scale.names.length < 2) return;
    const { placement } = drawn;
    if (this.labels !== scale.labels || this.placement !== placement || this.version !== placement.version) {
      this.names = middles(placement.positions, scale.labels, scale.names);
      [this.labels, this.placement, this.version] = [scale.labels, placement, placement.version];
    }
    write(drawn, this.names.filter(({ label }) => !hidden.has(label)), colours);
  }

  /** Writes the classes of the images in view, each at the lower edge of an image in their middle. */
  drawOverImages(drawn: Drawn, scale: ColourScale | null, items: readonly number[], below: number, colours: NameColours): void {
    if (scale?.kind !== "class" || scale.names.length < 2) return;
    write(drawn, middles(drawn.placement.positions, scale.labels, scale.names, items), colours, below);
  }
}

function write({ context, camera, placement }: Drawn, names: readonly ClassName[], colours: NameColours, below = 0): void {
  context.font = "600 12.5px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  const taken: number[][] = [];
  let drawn = 0;
  for (const { text, item } of names) {
    if (drawn >= MOST_NAMES) break;
    const shown = text.length > 24 ? `${text.slice(0, 23)}…` : text;
    const x = camera.screenX(placement.positions[2 * item]!);
    const y = camera.screenY(placement.positions[2 * item + 1]!) + below;
    if (!(x > 0 && y > 0 && x < camera.width && y < camera.height)) continue;
    const half = context.measureText(shown).width / 2 + 5;
    if (taken.some(([a, b, w]) => Math.abs(a! - x) < w! + half && Math.abs(b! - y) < 17)) continue;
    taken.push([x, y, half]);
    if (below) {
      context.globalAlpha = 0.88;
      context.fillStyle = colours.halo;
      context.fillRect(x - half, y - 9, 2 * half, 18);
      context.globalAlpha = 1;
    } else {
      context.lineWidth = 4;
      context.strokeStyle = colours.halo;
      context.strokeText(shown, x, y);
    }
    context.fillStyle = colours.text;
    context.fillText(shown, x, y);
    drawn++;
  }
}

/**
 * For each class, the largest first, the item nearest to the medians of its positions.
 *
 * @param among the items that count; without them, all.
 */
export function middles(positions: Float32Array, labels: ArrayLike<number>, names: readonly string[], among?: readonly number[]): ClassName[] {
  const members: number[][] = names.map(() => []);
  const step = Math.max(1, Math.floor(labels.length / 100_000));
  if (among) for (const item of among) members[labels[item]!]?.push(item);
  else for (let i = 0; i < labels.length; i += step) members[labels[i]!]?.push(i);
  const found: ClassName[] = [];
  members.forEach((items, label) => {
    if (items.length === 0) return;
    const x = median(items.map((item) => positions[2 * item]!));
    const y = median(items.map((item) => positions[2 * item + 1]!));
    let [best, least] = [items[0]!, Infinity];
    for (const item of items) {
      const square = (positions[2 * item]! - x) ** 2 + (positions[2 * item + 1]! - y) ** 2;
      if (square < least) [best, least] = [item, square];
    }
    found.push({ label, text: names[label] ?? "", item: best, count: items.length });
  });
  return found.sort((a, b) => b.count - a.count);
}

function median(values: number[]): number {
  return Float64Array.from(values).sort()[values.length >> 1]!;
}

/** Lines of equal density of the points that are let through. */
export class Density {
  private paths: Path2D[] = [];
  private origin = { x: 0, y: 0, unit: 1 };
  private front: Uint32Array | null = null;
  private version = -1;
  private placement: Placement | null = null;

  draw({ context, camera, placement }: Drawn, paint: Paint, colour: string): void {
    if (this.front !== paint.front || this.placement !== placement || this.version !== placement.version) {
      this.measure(placement, paint.front);
      [this.front, this.placement, this.version] = [paint.front, placement, placement.version];
    }
    context.save();
    const scale = camera.scale * this.origin.unit;
    context.translate(camera.screenX(this.origin.x), camera.screenY(this.origin.y));
    context.scale(scale, -scale);
    context.lineWidth = 1.1 / scale;
    context.strokeStyle = colour;
    this.paths.forEach((path, level) => {
      context.globalAlpha = 0.25 + (0.55 * level) / Math.max(1, this.paths.length);
      context.stroke(path);
    });
    context.restore();
  }

  private measure(placement: Placement, front: Uint32Array): void {
    const { positions } = placement;
    const { left, right, low, high } = placement.middle;
    const side = Math.max(right - left, high - low) * 1.1;
    const unit = side / GRID;
    this.origin = { x: (left + right - side) / 2, y: (low + high - side) / 2, unit };
    const step = Math.max(1, Math.floor(front.length / 100_000));
    const items = front.filter((_, i) => i % step === 0);
    const density = contourDensity<number>()
      .x((item) => (positions[2 * item]! - this.origin.x) / unit)
      .y((item) => (positions[2 * item + 1]! - this.origin.y) / unit)
      .size([GRID, GRID])
      .cellSize(2)
      .bandwidth(7)
      .thresholds(9);
    this.paths = density(Array.from(items)).map(({ coordinates }) => {
      const path = new Path2D();
      for (const polygon of coordinates) {
        for (const ring of polygon) {
          ring.forEach(([x, y], i) => (i ? path.lineTo(x!, y!) : path.moveTo(x!, y!)));
          path.closePath();
        }
      }
      return path;
    });
  }
}

/** Items whose images are drawn in place of their points, if the points in view are few enough; else none. */
export function itemsAsImages({ camera, placement }: Drawn, shown: (item: number) => boolean, aspect: number): { items: number[]; size: number } {
  const none = { items: [], size: 0 };
  const margin = 20 / camera.scale;
  const [left, right] = [camera.mapX(0) - margin, camera.mapX(camera.width) + margin];
  const [low, high] = [camera.mapY(camera.height) - margin, camera.mapY(0) + margin];
  // A cheap look first: points that are spread over more than the view are too many.
  const visible = placement.range(left, low, right, high);
  if (visible.length === 0 || visible.length > 6000) return none;
  const inside = visible.filter(shown);
  const room = Math.sqrt((camera.width * camera.height) / Math.max(1, inside.length));
  const size = Math.min(56, Math.max(22, room * 0.62));
  if (room < 25 || inside.length > MOST_IMAGES) return none;
  // Those with the lowest numbers keep their place when the view moves; images do not cover each other.
  const cell = size * 0.92;
  const taken = new Map<string, [number, number][]>();
  const items: number[] = [];
  for (const item of inside.sort((a, b) => a - b)) {
    const x = camera.screenX(placement.positions[2 * item]!);
    const y = camera.screenY(placement.positions[2 * item + 1]!);
    const [gx, gy] = [Math.floor(x / cell), Math.floor(y / cell)];
    let free = true;
    for (let i = -1; i <= 1 && free; i++) {
      for (let j = -1; j <= 1 && free; j++) {
        free = !taken.get(`${gx + i} ${gy + j}`)?.some(([a, b]) => Math.abs(a - x) < cell * Math.min(1, aspect) && Math.abs(b - y) < cell / Math.max(1, aspect));
      }
    }
    if (!free) continue;
    const here = taken.get(`${gx} ${gy}`);
    if (here) here.push([x, y]);
    else taken.set(`${gx} ${gy}`, [[x, y]]);
    items.push(item);
  }
  return { items, size };
}

export function drawImages(app: App, { context, camera, placement, map }: Drawn, items: readonly number[], size: number): void {
  const { thumbnails } = app;
  const width = thumbnails.aspect >= 1 ? size : size * thumbnails.aspect;
  const height = thumbnails.aspect >= 1 ? size / thumbnails.aspect : size;
  const { colours } = app.painter.paint(map);
  for (const item of items) {
    const x = Math.round(camera.screenX(placement.positions[2 * item]!) - width / 2);
    const y = Math.round(camera.screenY(placement.positions[2 * item + 1]!) - height / 2);
    context.fillStyle = css(colours[item]!);
    context.fillRect(x - 2, y - 2, width + 4, height + 4);
    thumbnails.draw(context, item, x, y, width, height);
  }
}

/** A ring around an item. */
export function ring({ context, camera, placement }: Drawn, item: number, radius: number, colour: string, halo: string): void {
  const x = camera.screenX(placement.positions[2 * item]!);
  const y = camera.screenY(placement.positions[2 * item + 1]!);
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.lineWidth = 4;
  context.strokeStyle = halo;
  context.stroke();
  context.lineWidth = 2;
  context.strokeStyle = colour;
  context.stroke();
}

/** A cross in a ring at a place of the map. */
export function target({ context, camera }: Drawn, mapX: number, mapY: number, colour: string, halo: string): void {
  const [x, y] = [camera.screenX(mapX), camera.screenY(mapY)];
  for (const [width, style] of [[4.5, halo], [2, colour]] as const) {
    context.lineWidth = width;
    context.strokeStyle = style;
    context.beginPath();
    context.arc(x, y, 6, 0, 2 * Math.PI);
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
      context.moveTo(x + 3 * dx, y + 3 * dy);
      context.lineTo(x + 11 * dx, y + 11 * dy);
    }
    context.stroke();
  }
}

/** A line from one item to others. */
export function lines({ context, camera, placement }: Drawn, from: number, to: readonly number[], colour: string, dash: number[], width = 1.5): void {
  context.save();
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dash);
  context.beginPath();
  for (const item of to) {
    context.moveTo(camera.screenX(placement.positions[2 * from]!), camera.screenY(placement.positions[2 * from + 1]!));
    context.lineTo(camera.screenX(placement.positions[2 * item]!), camera.screenY(placement.positions[2 * item + 1]!));
  }
  context.stroke();
  context.restore();
}

/** A cross on each of some items. */
export function crosses({ context, camera, placement }: Drawn, items: readonly number[], colour: string, halo: string): void {
  context.save();
  context.lineCap = "round";
  for (const [width, style] of [[5, halo], [2.2, colour]] as const) {
    context.lineWidth = width;
    context.strokeStyle = style;
    context.beginPath();
    for (const item of items) {
      const x = camera.screenX(placement.positions[2 * item]!);
      const y = camera.screenY(placement.positions[2 * item + 1]!);
      context.moveTo(x - 4.5, y - 4.5);
      context.lineTo(x + 4.5, y + 4.5);
      context.moveTo(x + 4.5, y - 4.5);
      context.lineTo(x - 4.5, y + 4.5);
    }
    context.stroke();
  }
  context.restore();
}

/** A small mark for a legend, as it is drawn in the map. */
export function swatch(context: CanvasRenderingContext2D, label: number, shape: number, x: number, y: number, r: number): void {
  context.fillStyle = classColour(label);
  context.strokeStyle = classColour(label);
  context.beginPath();
  switch (shape) {
    case 1: context.rect(x - r * 0.88, y - r * 0.88, r * 1.76, r * 1.76); break;
    case 2: context.moveTo(x, y - r * 1.15); context.lineTo(x + r, y + r * 0.8); context.lineTo(x - r, y + r * 0.8); break;
    case 3: context.moveTo(x, y - r * 1.25); context.lineTo(x + r * 1.25, y); context.lineTo(x, y + r * 1.25); context.lineTo(x - r * 1.25, y); break;
    case 4: context.rect(x - r * 1.15, y - r * 0.34, r * 2.3, r * 0.68); context.rect(x - r * 0.34, y - r * 1.15, r * 0.68, r * 2.3); break;
    case 5: context.arc(x, y, r * 0.85, 0, 2 * Math.PI); context.lineWidth = r * 0.45; context.stroke(); return;
    default: context.arc(x, y, r, 0, 2 * Math.PI);
  }
  context.fill();
}

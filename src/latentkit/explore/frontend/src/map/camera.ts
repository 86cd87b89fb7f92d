// Which part of a map is seen.

import { middleRange } from "../paint";
import { type CameraState } from "../store";

const MARGIN = 0.9; // share of the shorter side that the middle of a map takes
const LEAST = 0.05;
const MOST = 200_000;

/** x and y are the map's coordinates in the centre of the picture; scale is pixels for one unit. */
export class Camera {
  x = 0;
  y = 0;
  zoom = 1;

  constructor(public width: number, public height: number) {}

  /** Pixels for one unit of the map, in the unit of width and height. */
  get scale(): number {
    return (Math.min(this.width, this.height) / 2) * MARGIN * this.zoom;
  }

  screenX(x: number): number {
    return (x - this.x) * this.scale + this.width / 2;
  }

  screenY(y: number): number {
    return this.height / 2 - (y - this.y) * this.scale;
  }

  mapX(x: number): number {
    return (x - this.width / 2) / this.scale + this.x;
  }

  mapY(y: number): number {
    return (this.height / 2 - y) / this.scale + this.y;
  }

  /** Moves what is seen by a number of pixels. */
  pan(dx: number, dy: number): void {
    this.x -= dx / this.scale;
    this.y += dy / this.scale;
  }

  /** Zooms so that the place under a pixel stays there. */
  zoomAt(factor: number, px: number, py: number): void {
    const x = this.mapX(px);
    const y = this.mapY(py);
    this.zoom = Math.min(MOST, Math.max(LEAST, this.zoom * factor));
    this.x = x - (px - this.width / 2) / this.scale;
    this.y = y + (py - this.height / 2) / this.scale;
  }

  /** Shows a rectangle of the map whole. */
  fit(left: number, right: number, low: number, high: number): void {
    this.x = (left + right) / 2;
    this.y = (low + high) / 2;
    this.zoom = 1;
    const unit = this.scale;
    const zoom = Math.min((this.width * MARGIN) / ((right - left) * unit), (this.height * MARGIN) / ((high - low) * unit));
    this.zoom = Number.isFinite(zoom) && zoom > 0 ? Math.min(MOST, Math.max(LEAST, zoom)) : 1;
  }

  get state(): CameraState {
    return { x: this.x, y: this.y, zoom: this.zoom };
  }

  set state(state: CameraState) {
    this.x = state.x;
    this.y = state.y;
    this.zoom = state.zoom;
  }
}

export interface Bounds {
  left: number;
  right: number;
  low: number;
  high: number;
}

/** The range of positions without a share of them at each end of each axis. */
export function bounds(positions: Float32Array, share: number): Bounds {
  const count = positions.length / 2;
  const x = new Float32Array(count);
  const y = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    x[i] = positions[2 * i]!;
    y[i] = positions[2 * i + 1]!;
  }
  const [left, right] = middleRange(x, share);
  const [low, high] = middleRange(y, share);
  return { left, right, low, high };
}

/** The whole range of positions. */
export function fullBounds(positions: Float32Array): Bounds {
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < positions.length; i += 2) {
    const x = positions[i]!;
    const y = positions[i + 1]!;
    if (x < left) left = x;
    if (x > right) right = x;
    if (y < low) low = y;
    if (y > high) high = y;
  }
  return left <= right ? { left, right, low, high } : { left: -1, right: 1, low: -1, high: 1 };
}

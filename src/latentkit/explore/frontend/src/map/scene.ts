// The three canvases of a map: points, what lies over them, and what follows the pointer.

import { type App } from "../app";
import { type LatentMap } from "../data/dataset";
import { context2d, h, pixelRatio } from "../dom";
import { packedCss } from "../palette";
import { type CameraState } from "../store";
import { Camera } from "./camera";
import { ClassNames, crosses, Density, drawImages, itemsAsImages, lines, ring, target, type Drawn } from "./marks";
import { MapPlacement, type Placement } from "./placement";
import { Raster } from "./raster";
import { type Truth } from "./truth";

/** Points that are drawn while the view moves; beyond, every second or third one. */
const MOST_MOVING = 250_000;

export interface Theme {
  paper: string;
  text: string;
  grey: string;
  accent: string;
  torn: string;
  stranger: string;
  contour: string;
  halo: string;
}

export interface Stroke {
  kind: "lasso" | "rectangle";
  /** Corners in pixels: x, y, x, y, ... */
  path: number[];
}

export class Scene {
  readonly element = h("div", { class: "lk-stage" });
  readonly camera = new Camera(100, 100);
  /** Milliseconds of the last frames' drawing. */
  readonly times: number[] = [];
  imagesDrawn: readonly number[] = [];
  stroke: Stroke | null = null;
  truth: Truth | null = null;
  neighbours: readonly number[] = [];
  private readonly base = h("canvas");
  private readonly middle = h("canvas");
  private readonly top = h("canvas");
  private readonly raster = new Raster(1, 1);
  private readonly names = new ClassNames();
  private readonly density = new Density();
  private theme: Theme | null = null;
  private dirty = 0; // 1: top, 2: middle, 4: points
  private requested = false;
  private ratio = 1;
  private moving = false;
  private rest = 0;
  private imageSize = 0;
  private fitted = 1; // zoom at which the whole map was seen
  private framed: CameraState | null = null; // the camera after the last fit

  constructor(private readonly app: App, private readonly current: () => { map: LatentMap; placement: Placement } | null) {
    this.element.append(this.base, this.middle, this.top);
  }

  restyle(): void {
    this.theme = null;
    this.draw("points");
  }

  resize(width: number, height: number): void {
    this.ratio = pixelRatio();
    const untouched = this.untouched;
    this.camera.width = Math.max(1, width);
    this.camera.height = Math.max(1, height);
    for (const canvas of [this.base, this.middle, this.top]) {
      canvas.width = Math.max(1, Math.round(width * this.ratio));
      canvas.height = Math.max(1, Math.round(height * this.ratio));
    }
    this.raster.resize(this.base.width, this.base.height);
    if (untouched) this.fit();
    this.paintNow(7);
  }

  fit(all = false): void {
    const placement = this.current()?.placement;
    if (!placement) return;
    const { left, right, low, high } = all ? placement.all : placement.middle;
    this.camera.fit(left, right, low, high);
    if (!all) this.fitted = this.camera.zoom;
    this.framed = all ? null : this.camera.state;
    this.draw("points");
  }

  /** Whether the middle of the map is seen as `fit` left it. */
  get untouched(): boolean {
    const { x, y, zoom } = this.camera;
    return this.framed !== null && this.framed.x === x && this.framed.y === y && this.framed.zoom === zoom;
  }

  /** Draws a view that moves: of very many points, some, and all of them when it rests. */
  drawMoving(): void {
    if (this.app.data.count > MOST_MOVING) {
      this.moving = true;
      clearTimeout(this.rest);
      this.rest = window.setTimeout(() => {
        this.moving = false;
        this.draw("points");
      }, 150);
    }
    this.draw("points");
  }

  draw(layer: "points" | "marks" | "pointer"): void {
    this.dirty |= layer === "points" ? 7 : layer === "marks" ? 3 : 1;
    if (this.requested) return;
    this.requested = true;
    requestAnimationFrame(() => {
      this.requested = false;
      this.paintNow(this.dirty);
    });
  }

  /** Draws what is due at once. */
  flush(): void {
    if (this.dirty) this.paintNow(this.dirty);
  }

  /** Radius of a point in CSS pixels. */
  radius(): number {
    const count = this.app.data.count;
    const base = Math.min(5.5, Math.max(0.8, 6.6 - 0.98 * Math.log10(count)));
    return base * Math.min(2.4, Math.max(1, (this.camera.zoom / this.fitted) ** 0.3));
  }

  private paintNow(dirty: number): void {
    this.dirty = 0;
    const current = this.current();
    if (!current) return;
    const began = performance.now();
    this.theme ??= this.readTheme();
    if (dirty & 4) this.drawPoints(current, this.theme);
    if (dirty & 2) this.drawMarks(current, this.theme);
    if (dirty & 1) this.drawPointer(current, this.theme);
    this.times.push(performance.now() - began);
    if (this.times.length > 600) this.times.splice(0, 300);
  }

  private drawPoints({ map, placement }: { map: LatentMap; placement: Placement }, theme: Theme): void {
    const paint = this.app.painter.paint(map);
    const count = this.app.data.count;
    const opacity = Math.min(0.95, Math.max(0.5, 1.25 - 0.1 * Math.log10(count) + 0.1 * Math.log10(this.camera.zoom / this.fitted)));
    const scaled = new Camera(this.base.width, this.base.height);
    scaled.state = this.camera.state;
    this.raster.clear(packedCss(theme.paper));
    const every = this.moving ? Math.max(1, Math.ceil(count / MOST_MOVING)) : 1;
    this.raster.points(placement.positions, scaled, paint, { radius: this.radius() * this.ratio, opacity, grey: packedCss(theme.grey), greyOpacity: 0.4, every });
    this.raster.show(context2d(this.base));
  }

  private prepared(canvas: HTMLCanvasElement, { map, placement }: { map: LatentMap; placement: Placement }): Drawn {
    const context = context2d(canvas);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    return { context, camera: this.camera, placement, map };
  }

  private drawMarks(current: { map: LatentMap; placement: Placement }, theme: Theme): void {
    const drawn = this.prepared(this.middle, current);
    const { state } = this.app.store;
    const { painter, thumbnails } = this.app;
    if (state.density) this.density.draw(drawn, painter.paint(current.map), theme.contour);
    this.imagesDrawn = [];
    if (state.thumbnails && thumbnails.available) {
      const { items, size } = itemsAsImages(drawn, (item) => painter.shown(current.map, item), thumbnails.aspect);
      drawImages(this.app, drawn, items, size);
      this.imagesDrawn = items;
      this.imageSize = size;
    }
    if (state.names && !state.distances) {
      const scale = painter.classes(current.map);
      const colours = { text: theme.text, halo: theme.halo };
      if (this.imagesDrawn.length) this.names.drawOverImages(drawn, scale, this.imagesDrawn, this.imageSize / 2 + 4, colours);
      else this.names.draw(drawn, scale, state.colour === "class" ? state.hidden : new Set(), colours);
    }
  }

  private drawPointer(current: { map: LatentMap; placement: Placement }, theme: Theme): void {
    const drawn = this.prepared(this.top, current);
    const { state } = this.app.store;
    const r = this.radius();
    const halo = theme.paper;
    if (this.truth && state.distances) {
      lines(drawn, this.truth.item, this.truth.kept, theme.text, [], 1);
      lines(drawn, this.truth.item, this.truth.torn, theme.torn, [6, 4], 2);
      for (const item of this.truth.torn) ring(drawn, item, r + 3, theme.torn, halo);
      crosses(drawn, this.truth.strangers, theme.stranger, halo);
    } else {
      for (const item of this.neighbours) ring(drawn, item, r + 2, theme.text, halo);
    }
    const { latentAt } = state;
    if (latentAt?.map === current.map.id && current.placement instanceof MapPlacement) target(drawn, latentAt.x, latentAt.y, theme.accent, halo);
    const around = this.imagesDrawn.length ? Math.max(r + 4, this.imageSize * 0.75) : 0;
    if (state.pinned >= 0) ring(drawn, state.pinned, around || r + 5, theme.accent, halo);
    if (state.hovered >= 0) ring(drawn, state.hovered, around || r + 4, theme.text, halo);
    if (this.stroke) this.drawStroke(drawn.context, this.stroke, theme);
  }

  private drawStroke(context: CanvasRenderingContext2D, stroke: Stroke, theme: Theme): void {
    context.beginPath();
    for (let i = 0; i < stroke.path.length; i += 2) context.lineTo(stroke.path[i]!, stroke.path[i + 1]!);
    context.closePath();
    context.fillStyle = theme.accent;
    context.globalAlpha = 0.12;
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = theme.accent;
    context.lineWidth = 1.5;
    context.stroke();
  }

  private readTheme(): Theme {
    const style = (name: string): string => this.app.style(`--lk-${name}`);
    return {
      paper: style("paper"),
      text: style("text"),
      grey: style("unselected"),
      accent: style("accent"),
      torn: style("torn"),
      stranger: style("stranger"),
      contour: style("contour"),
      halo: style("paper"),
    };
  }
}

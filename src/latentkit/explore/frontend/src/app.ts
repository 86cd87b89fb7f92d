// What all parts of the explorer share.

import { type Dataset, Lazy, type LatentMap, type Space } from "./data/dataset";
import { type LiveDecoder, liveDecoder } from "./data/decoding";
import { type Thumbnails } from "./data/thumbnails";
import { type Painter } from "./map/painter";
import { MapPlacement } from "./map/placement";
import { type State, type Store } from "./store";

export class App {
  private readonly placements = new Map<string, Promise<MapPlacement>>();
  private readonly decoders = new Map<Space, Lazy<LiveDecoder | null>>();
  readonly placed = new Map<string, MapPlacement>();

  constructor(
    readonly root: HTMLElement,
    readonly data: Dataset,
    readonly store: Store,
    readonly thumbnails: Thumbnails,
    readonly painter: Painter,
    /** Says something to screen readers. */
    readonly announce: (text: string) => void,
    readonly dark: () => boolean,
    /** Says what could not be read, visibly and in the notes. */
    readonly fault: (reason: unknown) => void,
  ) {}

  /** The main map. */
  get map(): LatentMap {
    const map = this.data.map(this.store.state.maps[0] ?? "");
    if (!map) throw new Error("no map is shown");
    return map;
  }

  get space(): Space {
    return this.map.space;
  }

  placement(map: LatentMap): Promise<MapPlacement> {
    let found = this.placements.get(map.id);
    if (!found) {
      found = map.values.get().then((values) => {
        const placement = new MapPlacement(map, values);
        this.placed.set(map.id, placement);
        return placement;
      });
      this.placements.set(map.id, found);
    }
    return found;
  }

  /** Says what goes wrong in work that nobody waits for. */
  later(work: Promise<unknown>): void {
    work.catch((reason: unknown) => this.fault(reason));
  }

  decoder(space: Space): Lazy<LiveDecoder | null> {
    let found = this.decoders.get(space);
    if (!found) this.decoders.set(space, (found = new Lazy(() => liveDecoder(space))));
    return found;
  }

  /** Reads what the decode tool needs of a run. */
  async readyToDecode(space: Space): Promise<void> {
    await this.decoder(space).get();
    await space.latents?.get();
  }

  /** The latent of all tools; null if none was chosen for the run that is shown. */
  get latent(): Float32Array | null {
    return this.latentIn(this.space);
  }

  latentIn(space: Space): Float32Array | null {
    const { latent, latentRun } = this.store.state;
    return latent && latentRun === space.index && latent.length === space.dim ? latent : null;
  }

  /** @param latentAt the place of a map where it was decoded. */
  setLatent(latent: Float32Array, space: Space, latentFrom: string, latentAt: State["latentAt"] = null): void {
    this.store.update({ latent, latentRun: space.index, latentFrom, latentAt });
  }

  /** The selected items that the filter of classes or values lets through. */
  get selected(): Uint32Array {
    const { selection, hidden, range } = this.store.state;
    if (!hidden.size && !range) return selection;
    return selection.filter((item) => this.painter.passes(this.map, item));
  }

  /** Style of the page by name, for canvases. */
  style(name: string): string {
    return getComputedStyle(this.root).getPropertyValue(name).trim();
  }

  get calm(): boolean {
    return matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  /** Selects an item for all panels, and tells its neighbours. */
  pin(item: number): void {
    this.store.update({ pinned: item, panel: item >= 0 ? "item" : this.store.state.panel });
    if (item >= 0) this.announce(`${this.describe(item)} pinned`);
  }

  describe(item: number): string {
    const name = this.data.className(item);
    return `${this.data.itemName(item)}${name === null ? "" : `, ${name}`}`;
  }
}

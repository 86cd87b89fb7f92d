// The items, runs and maps of a page, with arrays that are read on first use.

import { type ColumnHeader, type Container, type MapHeader, type SpaceHeader } from "../layout";

/** A value that is computed on first use; `now` is null until it is there. */
export class Lazy<T> {
  now: T | null = null;
  failed = false;
  private promise: Promise<T> | null = null;

  constructor(private readonly make: () => Promise<T>) {}

  get(): Promise<T> {
    this.promise ??= this.make().then((value) => (this.now = value), (reason: unknown) => {
      this.failed = true;
      throw reason;
    });
    return this.promise;
  }
}

export interface Column {
  header: ColumnHeader;
  values: Lazy<Float32Array>;
}

/** A map, or the plane of two latents. */
export class LatentMap {
  readonly id: string;
  readonly values: Lazy<Float32Array>;
  readonly trust: Lazy<Float32Array> | null;

  /**
   * @param key the header's key, or a longer one where an earlier map of the run has the same.
   * @param plane the latents on the axes of a plane; null for a map that the page has.
   */
  constructor(
    readonly space: Space, readonly header: MapHeader, readonly key: string, readonly plane: readonly [number, number] | null,
    values: () => Promise<Float32Array>, trust: (() => Promise<Float32Array>) | null,
  ) {
    this.id = `${space.index}/${key}`;
    this.values = new Lazy(values);
    this.trust = trust ? new Lazy(trust) : null;
  }

  get isPlane(): boolean {
    return this.plane !== null;
  }
}

/** Begins the ids of planes; a colon is in no name of a method. */
const PLANE = "plane:";
/** Half the width of the plane of two latents, in units of sigma. */
export const PLANE_SIGMAS = 4;

export class Space {
  readonly latents: Lazy<Float32Array> | null;
  readonly columns: Column[];
  readonly maps: LatentMap[];

  constructor(readonly data: Dataset, readonly index: number, readonly header: SpaceHeader) {
    const { container } = data;
    const latents = header.latents;
    this.latents = latents ? new Lazy(() => container.f32(latents)) : null;
    this.columns = header.columns.map((column) => ({
      header: column,
      values: new Lazy(() => container.f32(column.section)),
    }));
    const seen = new Map<string, number>();
    this.maps = header.maps.map((map) => {
      const { section, trust, key } = map;
      const place = (seen.get(key) ?? 0) + 1;
      seen.set(key, place);
      return new LatentMap(this, map, place === 1 ? key : `${key}:${place}`, null, () => container.f32(section), trust ? () => container.f32(trust) : null);
    });
  }

  get dim(): number {
    return this.header.dim;
  }

  /** The classes that the run predicts; null if it predicts none. */
  get predicted(): Column | null {
    return this.columns.find(({ header }) => header.key === "predicted" && header.kind === "class") ?? null;
  }

  /** Name of the run, and of the epoch if weights of an earlier one are shown. */
  get label(): string {
    const { title, epoch } = this.header;
    return epoch === null || new RegExp(`\\bepoch ${epoch}$`, "i").test(title) ? title : `${title}, epoch ${epoch}`;
  }

  /** Dimensions by use, the most used first. */
  get order(): number[] {
    const { order } = this.header;
    return order.length === this.dim ? order : Array.from({ length: this.dim }, (_, i) => i);
  }

  /** The plane of two latents as a map: positions are in units of sigma. */
  plane(first: number, second: number): LatentMap | null {
    const latents = this.latents;
    if (!latents) return null;
    const { mean, sigma } = this.header;
    const key = `${PLANE}${first}:${second}`;
    const header: MapHeader = {
      key,
      name: this.dim > 1 ? `Plane of z${first} and z${second}` : "The latent z0",
      dims: 2,
      section: { name: "", dtype: "f4", shape: [], encoding: "raw" },
      scale: PLANE_SIGMAS,
      centre: [0, 0],
      trust: null,
      figures: {},
      about: "Two latents as they are. Points that differ in other latents may lie on each other.",
      fitted_on: "",
      inverse: null,
    };
    const make = async (): Promise<Float32Array> => {
      const values = await latents.get();
      const positions = new Float32Array(2 * this.data.count);
      [first, second].forEach((axis, side) => {
        const centre = mean[axis] ?? 0;
        const unit = PLANE_SIGMAS * ((sigma[axis] ?? 1) || 1);
        // With one latent, the second axis spreads items so that they can be told apart.
        for (let i = 0; i < this.data.count; i++) {
          positions[2 * i + side] =
            side === 1 && this.dim < 2 ? spread(i) : (values[i * this.dim + axis]! - centre) / unit;
        }
      });
      return positions;
    };
    return new LatentMap(this, header, key, [first, second], make, null);
  }
}

/** A fixed number in [-0.4, 0.4] for an item. */
function spread(item: number): number {
  return ((item * 0.6180339887) % 1) * 0.8 - 0.4;
}

export class Dataset {
  readonly count: number;
  readonly spaces: Space[];
  labels: Int32Array | null = null;
  rows: Int32Array | null = null;
  splits: Int32Array | null = null;
  files: string[] | null = null;
  private planes = new Map<string, LatentMap>();

  constructor(readonly container: Container) {
    this.count = container.header.items.count;
    this.spaces = container.header.spaces.map((space, index) => new Space(this, index, space));
  }

  get classNames(): string[] {
    return this.container.header.items.labels?.names ?? [];
  }

  get splitNames(): string[] {
    return this.container.header.items.splits?.names ?? [];
  }

  /** Reads what the first picture needs. */
  async start(): Promise<void> {
    const { labels } = this.container.header.items;
    if (labels) this.labels = await this.container.ints(labels.section);
  }

  /** Reads the rest of what names items. */
  async rest(): Promise<void> {
    const { rows, splits, files } = this.container.header.items;
    if (rows) this.rows = await this.container.ints(rows);
    if (splits) this.splits = await this.container.ints(splits.section);
    if (files) this.files = (await this.container.json(files)) as string[];
  }

  /** Whether any run tells the classes that it predicts for items of known class. */
  get hasPredictions(): boolean {
    return this.container.header.items.labels !== null && this.spaces.some((space) => space.predicted !== null);
  }

  /** Every map of every run. */
  allMaps(): LatentMap[] {
    return this.spaces.flatMap((space) => space.maps);
  }

  /** The map of an id, also "0/plane:3:5"; null if there is none. */
  map(id: string): LatentMap | null {
    const slash = id.indexOf("/");
    const space = this.spaces[slash > 0 ? Number(id.slice(0, slash)) : -1];
    if (!space) return null;
    const key = id.slice(slash + 1);
    const found = space.maps.find((map) => map.key === key);
    if (found || !key.startsWith(PLANE)) return found ?? null;
    const [, first = "0", second = "1"] = key.split(":");
    const a = Number(first);
    const b = Number(second);
    if (!(a >= 0 && a < space.dim && b >= 0 && (b < space.dim || space.dim === 1))) return null;
    let plane = this.planes.get(id);
    if (!plane) {
      const made = space.plane(a, b);
      if (!made) return null;
      plane = made;
      this.planes.set(id, plane);
    }
    return plane;
  }

  /** The number under which the run knows an item. */
  number(item: number): number {
    return this.rows ? this.rows[item]! : item;
  }

  /** The items of a number of the run, at most one for each split, those of the test split first. */
  itemsOf(number: number): number[] {
    if (!this.rows) return number >= 0 && number < this.count ? [number] : [];
    const items: number[] = [];
    for (let item = 0; item < this.count; item++) if (this.rows[item] === number) items.push(item);
    const test = this.splitNames.indexOf("test");
    const rank = (item: number): number => (this.splits ? (this.splits[item] === test ? -1 : this.splits[item]!) : 0);
    return items.sort((a, b) => rank(a) - rank(b) || a - b).filter((item, place) => place === 0 || rank(item) !== rank(items[place - 1]!));
  }

  /** Name of an item's split; null if the page does not tell splits. */
  splitName(item: number): string | null {
    return (this.splits && this.splitNames[this.splits[item]!]) ?? null;
  }

  /** Name of an item's class; null without labels. */
  className(item: number): string | null {
    const label = this.labels?.[item];
    if (label === undefined) return null;
    return label < 0 ? "not known" : (this.classNames[label] ?? String(label));
  }

  /** An item in words: its file, or its number. */
  itemName(item: number): string {
    const split = this.splitName(item);
    return `${split && split !== "test" ? `${split} ` : ""}item ${this.number(item)}`;
  }
}

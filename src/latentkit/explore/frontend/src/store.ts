// What the user has set. One object; every view draws from it and changes it through `update`.

export type Tool = "pan" | "lasso" | "rectangle" | "decode" | "turn";
export type Panel = "item" | "selection" | "decode" | "compare" | "classes";

export interface CameraState {
  x: number;
  y: number;
  zoom: number;
}

export interface State {
  /** Maps shown, by id ("0/isomap": space, key). The first is the main one. */
  maps: readonly string[];
  /** What colours points: "class", "split", "trust", "column:KEY", "latent:NUMBER", "none". */
  colour: string;
  /** Classes that are filtered out, by number. */
  hidden: ReadonlySet<number>;
  /** Values that are let through, if points are coloured by a number. */
  range: readonly [number, number] | null;
  /** Selected items in ascending order. */
  selection: Uint32Array;
  pinned: number;
  hovered: number;
  tool: Tool;
  panel: Panel;
  /** Colour all points by their latent distance to the hovered or pinned one. */
  distances: boolean;
  density: boolean;
  names: boolean;
  thumbnails: boolean;
  neighbours: number;
  /** Latents on the axes of the plane of two latents. */
  plane: readonly [number, number];
  /** Stops of a morph, by map id; with fewer than two, nothing is morphed. */
  track: readonly string[];
  /** Place on the track: 1.5 is halfway between the second and the third stop. */
  progress: number;
  /** The latent that is decoded, and where it is from; null until one is chosen. */
  latent: Float32Array | null;
  /** Number of the run in whose latents it is. */
  latentRun: number;
  latentFrom: string;
  /** The place of a map where it was decoded; null if it is from elsewhere. */
  latentAt: { map: string; x: number; y: number } | null;
  /** Camera of the main map; null shows the middle of it. */
  camera: CameraState | null;
}

export const EMPTY = new Uint32Array(0);

export function initialState(): State {
  return {
    maps: [],
    colour: "class",
    hidden: new Set(),
    range: null,
    selection: EMPTY,
    pinned: -1,
    hovered: -1,
    tool: "pan",
    panel: "item",
    distances: false,
    density: false,
    names: true,
    thumbnails: true,
    neighbours: 10,
    plane: [0, 1],
    track: [],
    progress: 0,
    latent: null,
    latentRun: 0,
    latentFrom: "",
    latentAt: null,
    camera: null,
  };
}

export type Key = keyof State;
type Listener = (state: State, changed: ReadonlySet<Key>) => void;

export class Store {
  state: State;
  private readonly listeners: { keys: ReadonlySet<Key>; listener: Listener }[] = [];
  private queue: ReadonlySet<Key>[] = [];
  private telling = false;

  constructor(state: State = initialState()) {
    this.state = state;
  }

  /** Changes some values, and tells those who listen to one of them. */
  update(patch: Partial<State>): void {
    const changed = new Set<Key>();
    for (const key of Object.keys(patch) as Key[]) {
      if (patch[key] !== this.state[key]) changed.add(key);
    }
    if (changed.size === 0) return;
    this.state = { ...this.state, ...patch };
    this.queue.push(changed);
    if (this.telling) return; // an update by a listener is told after the present one
    this.telling = true;
    try {
      for (let next = this.queue.shift(); next; next = this.queue.shift()) this.tell(next);
    } finally {
      this.telling = false;
    }
  }

  /** Calls the listener after a change of any of the keys. */
  on(keys: readonly Key[], listener: Listener): () => void {
    const entry = { keys: new Set(keys), listener };
    this.listeners.push(entry);
    return () => {
      this.listeners.splice(this.listeners.indexOf(entry), 1);
    };
  }

  private tell(changed: ReadonlySet<Key>): void {
    for (const { keys, listener } of [...this.listeners]) {
      for (const key of changed) {
        if (keys.has(key)) {
          listener(this.state, changed);
          break;
        }
      }
    }
  }
}

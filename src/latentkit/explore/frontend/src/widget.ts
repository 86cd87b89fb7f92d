// The explorer in a notebook, with its selection, pointer and colour told to Python and taken from it.

import { Explorer } from "./explorer";
import { type Container } from "./layout";

export interface Hooks {
  /** Positions of selected items, 0 to N - 1, ascending. */
  onSelection?(positions: number[]): void;
  onHovered?(position: number | null): void;
  /** "class", "split", "trust", "none", "latent:NUMBER", or the key of a column. */
  onColorBy?(key: string): void;
}

export interface Mounted {
  setSelection(positions: readonly number[]): void;
  setHovered(position: number | null): void;
  setColorBy(key: string): void;
  destroy(): void;
}

const OTHERS = /^(class|split|trust|none|latent:\d+)$/;

/** Shows the explorer in an element. What is set from outside is not told back. */
export function mount(element: HTMLElement, container: Container, hooks: Hooks = {}): Mounted {
  const explorer = new Explorer(element, container);
  const { store, data } = explorer.app;
  let quiet = false;
  const silently = (change: () => void): void => {
    quiet = true;
    try {
      change();
    } finally {
      quiet = false;
    }
  };
  store.on(["selection"], (state) => {
    if (!quiet) hooks.onSelection?.(Array.from(state.selection));
  });
  store.on(["hovered"], (state) => {
    if (!quiet) hooks.onHovered?.(state.hovered < 0 ? null : state.hovered);
  });
  store.on(["colour"], (state) => {
    if (!quiet) hooks.onColorBy?.(state.colour.replace(/^column:/, ""));
  });
  explorer.start().catch((reason: unknown) => {
    element.textContent = reason instanceof Error ? reason.message : String(reason);
  });
  const known = (item: number): boolean => Number.isInteger(item) && item >= 0 && item < data.count;
  return {
    setSelection: (positions) => silently(() => store.update({ selection: Uint32Array.from(new Set(positions.filter(known))).sort() })),
    setHovered: (position) => silently(() => store.update({ hovered: position !== null && known(position) ? position : -1 })),
    setColorBy: (key) => silently(() => store.update({ colour: OTHERS.test(key) ? key : `column:${key}`, hidden: new Set(), range: null })),
    destroy: () => explorer.close(),
  };
}

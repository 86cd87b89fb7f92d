// The page starts itself; the notebook's widget calls `mount`.

import { type Dataset } from "./data/dataset";
import { h } from "./dom";
import { Explorer } from "./explorer";
import { fromHash, toHash, withoutHash } from "./hash";
import { Container, LayoutError } from "./layout";
import { mount } from "./widget";

export { Container, mount };

/** The explorer of this page, for tests and for those who look behind it. */
export let explorer: Explorer | null = null;

const HASH_DELAY = 300; // ms for which the state has to rest before the address is changed

function fail(root: HTMLElement, reason: unknown): void {
  const text = reason instanceof LayoutError ? reason.message : `This page cannot be shown: ${reason instanceof Error ? reason.message : String(reason)}`;
  root.classList.add("lk-explorer");
  root.dataset.failed = "true";
  root.replaceChildren(h("p", { class: "lk-failure", role: "alert" }, text));
}

/** Keeps the address and the state the same. */
function followAddress({ app, begin }: Explorer): void {
  const keys = Object.keys(begin).filter((key) => key !== "hovered") as (keyof typeof begin)[];
  let timer = 0;
  let written = location.hash;
  app.store.on(keys, () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      written = `#${toHash(app.store.state, begin)}`;
      if (written === location.hash || (written === "#" && !location.hash)) return;
      try {
        history.replaceState(null, "", written);
      } catch {
        // Some browsers refuse it for files; the page works without.
      }
    }, HASH_DELAY);
  });
  addEventListener("hashchange", () => {
    if (location.hash !== written) app.store.update({ ...withoutHash(begin), ...fromHash(location.hash, app.data) });
  });
}

async function open(root: HTMLElement): Promise<void> {
  try {
    explorer = new Explorer(root, Container.fromPage(document), document, (data: Dataset) => fromHash(location.hash, data));
    followAddress(explorer);
    await explorer.start();
  } catch (reason) {
    fail(root, reason);
  }
}

function start(): void {
  // A notebook may have a heading of this name; only a page has data, and a mark of its end.
  const root = document.getElementById("explorer");
  if (root && document.querySelector("script#explorer-header, script#explorer-end")) void open(root);
}

(globalThis as { latentkitExplorer?: unknown }).latentkitExplorer ??= { Container, mount };
if (typeof document !== "undefined") {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
}

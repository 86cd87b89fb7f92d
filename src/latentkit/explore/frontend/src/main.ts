// The page starts itself; the notebook's widget calls `mount`.

import { Explorer } from "./explorer";
import { h } from "./dom";
import { Container, LayoutError } from "./layout";

/** The explorer of this page, for tests and for those who look behind it. */
export let explorer: Explorer | null = null;

function fail(root: HTMLElement, reason: unknown): void {
  const text = reason instanceof LayoutError ? reason.message : `This page cannot be shown: ${reason instanceof Error ? reason.message : String(reason)}`;
  root.classList.add("lk-explorer");
  root.dataset.failed = "true";
  root.replaceChildren(h("p", { class: "lk-failure", role: "alert" }, text));
}

async function open(root: HTMLElement): Promise<void> {
  try {
    explorer = new Explorer(root, Container.fromPage(document));
    await explorer.start();
  } catch (reason) {
    fail(root, reason);
  }
}

function start(): void {
  if (!document.getElementById("explorer-header") && !document.getElementById("explorer")) return; // a notebook
  let root = document.getElementById("explorer");
  if (!root) {
    root = h("div", { id: "explorer" });
    document.body.prepend(root);
  }
  void open(root);
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();

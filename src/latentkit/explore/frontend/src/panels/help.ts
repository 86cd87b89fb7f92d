// All keys and gestures, in a dialog.

import { button, h } from "../dom";

const KEYS: [string, string][] = [
  ["← ↑ → ↓", "go to the next point in that direction"],
  ["Enter", "pin the point, and see its neighbours"],
  ["+  -", "zoom in and out"],
  ["0", "show the middle of the map; with Shift, all of it"],
  ["Shift ← ↑ → ↓", "move the map"],
  ["P  L  R  C", "tools: move, lasso, rectangle, decode"],
  ["D", "colour by true distances"],
  ["N  G  I", "names, density, images"],
  ["[  ]", "previous and next map"],
  ["1  2  3  4  5", "item, selection, decode, compare, classes"],
  ["/", "search"],
  ["Escape", "end decoding, then clear the pinned item, then the selection, then filters"],
  ["?", "this help"],
];

const GESTURES: [string, string][] = [
  ["drag", "move the map (or what the tool does)"],
  ["wheel, pinch", "zoom"],
  ["double click", "zoom in; with Shift, out"],
  ["Shift drag", "add to the selection with the lasso; with Alt, take away"],
  ["Shift click", "add or take away one point"],
  ["click in the legend", "show one class only; with Shift, add or take away"],
];

export class Help {
  readonly element = h("dialog", { class: "lk-help", "aria-labelledby": "lk-help-title" });

  constructor() {
    const table = (rows: [string, string][]): HTMLElement =>
      h("dl", {}, ...rows.flatMap(([keys, text]) => [h("dt", {}, ...keys.split("  ").map((key) => h("kbd", {}, key))), h("dd", {}, text)]));
    this.element.append(
      h("h2", { id: "lk-help-title" }, "Keys and gestures"),
      h("div", { class: "lk-help-columns" }, table(KEYS), table(GESTURES)),
      button("Close", () => this.element.close()),
    );
    this.element.addEventListener("click", (event) => {
      if (event.target === this.element) this.element.close();
    });
  }

  open(): void {
    if (!this.element.open) this.element.showModal();
  }
}

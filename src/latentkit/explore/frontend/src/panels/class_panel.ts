// Class against predicted class: a table of counts; a click on one selects its items.

import { type App } from "../app";
import { button, clear, h, plural } from "../dom";
import { Gallery } from "./gallery";

const MOST_CLASSES = 30; // of the table; beyond, the pairs alone
const PAIRS = 8;

export interface Confusion {
  names: string[];
  /** Items of class `row` that are predicted as `column`, at `row * names.length + column`. */
  counts: Uint32Array;
  /** Items whose class and predicted class are known, and those for which they are the same. */
  known: number;
  right: number;
  /** Row and column of each item in the table; -1 where one is not known. */
  cells: Int32Array;
}

/** Counts items by their class and their predicted class. The two may name classes in another order. */
export function confusion(labels: ArrayLike<number>, classNames: readonly string[], predicted: ArrayLike<number>, predictedNames: readonly string[]): Confusion {
  const names = [...classNames];
  const same = predictedNames.length === names.length && predictedNames.every((name, i) => name === names[i]);
  const places = predictedNames.map((name, label) => {
    const place = same ? label : names.indexOf(name);
    return place >= 0 ? place : names.push(name) - 1;
  });
  const counts = new Uint32Array(names.length ** 2);
  const cells = new Int32Array(labels.length).fill(-1);
  let [known, right] = [0, 0];
  for (let item = 0; item < labels.length; item++) {
    const row = labels[item]!;
    const column = places[predicted[item]!];
    if (row < 0 || row >= names.length || column === undefined) continue;
    cells[item] = row * names.length + column;
    counts[cells[item]!]!++;
    known++;
    if (row === column) right++;
  }
  return { names, counts, known, right, cells };
}

/** Cells of items that are predicted wrongly, those with the most first. */
export function confusedMost({ names, counts }: Confusion, most: number): number[] {
  const wrong = [...counts.keys()].filter((cell) => counts[cell]! > 0 && Math.floor(cell / names.length) !== cell % names.length);
  return wrong.sort((a, b) => counts[b]! - counts[a]! || a - b).slice(0, most);
}

export class ClassPanel {
  readonly element = h("div", { class: "lk-panel" });
  private readonly gallery: Gallery;
  private readonly told = h("h4", {});
  private readonly buttons = new Map<number, HTMLButtonElement>();
  private table: Confusion | null = null;
  private from: Float32Array | null = null;
  private chosen: Uint32Array | null = null;

  constructor(private readonly app: App) {
    this.gallery = new Gallery(app);
    app.store.on(["panel", "maps"], () => this.draw());
    app.store.on(["selection"], () => this.mark(-1));
  }

  private draw(): void {
    const { app } = this;
    if (app.store.state.panel !== "classes") return;
    const { labels, classNames } = app.data;
    const column = app.space.predicted;
    if (!labels || !column) {
      this.from = null;
      this.element.replaceChildren(h("div", { class: "lk-hint" }, h("p", {}, "This run predicts no classes.")));
      return;
    }
    const predicted = column.values.now;
    if (!predicted) {
      const { failed } = column.values;
      this.element.replaceChildren(h("p", { class: "lk-quiet" }, failed ? "The predicted classes cannot be read." : "Reading…"));
      if (!failed) app.later(column.values.get().finally(() => this.draw()));
      return;
    }
    if (this.from === predicted) return;
    this.from = predicted;
    this.table = confusion(labels, classNames, predicted, column.header.names ?? []);
    this.write(this.table, column.header.about);
  }

  private write(table: Confusion, about: string): void {
    const { names, known, right } = table;
    const share = known ? ((100 * right) / known).toFixed(1) : "–";
    clear(this.element);
    this.buttons.clear();
    this.element.append(h("section", {}, h("h4", {}, "Class and predicted class"),
      h("p", {}, `${share} % of ${plural(known, "item")} are predicted as their class.`), about && h("p", { class: "lk-quiet" }, about)));
    const few = names.length <= MOST_CLASSES;
    if (few) this.element.append(this.counts(table));
    this.element.append(this.pairs(table, !few), this.told, this.gallery.element);
    this.told.textContent = "";
    this.gallery.show(new Uint32Array(0));
  }

  private counts({ names, counts }: Confusion): HTMLElement {
    const head = h("tr", {}, h("td", {}), ...names.map((name) => h("th", { scope: "col", title: `predicted as ${name}` }, h("span", {}, name))));
    const rows = names.map((name, row) => {
      const line = h("tr", {}, h("th", { scope: "row", title: name }, name));
      const own = counts.subarray(row * names.length, (row + 1) * names.length);
      const all = own.reduce((sum, count) => sum + count, 0);
      own.forEach((count, column) => line.append(h("td", {}, count > 0 && this.cell(row * names.length + column, count / all, row === column))));
      return line;
    });
    const table = h("table", { "aria-label": "Number of items by class (rows) and predicted class (columns)" }, h("thead", {}, head), h("tbody", {}, ...rows));
    table.addEventListener("keydown", (event) => this.key(event, names.length));
    return h("section", {}, h("p", { class: "lk-quiet" }, "Rows are classes, columns predicted classes. Click a count to select its items."), h("div", { class: "lk-confusion" }, table));
  }

  private cell(cell: number, share: number, right: boolean): HTMLButtonElement {
    const found = button(String(this.table!.counts[cell]!), () => this.select(cell), { className: right ? "lk-right-class" : "", label: this.words(cell), title: this.words(cell), pressed: false });
    found.style.setProperty("--lk-share", String(Math.round(55 * Math.sqrt(share)) / 100));
    found.tabIndex = this.buttons.size ? -1 : 0; // arrows go from count to count
    this.buttons.set(cell, found);
    return found;
  }

  private pairs(table: Confusion, open: boolean): HTMLElement {
    const found = confusedMost(table, PAIRS);
    const list = h("div", { class: "lk-pairs" });
    for (const cell of found) {
      const row = button("", () => this.select(cell), { className: "lk-link" });
      row.append(h("span", { class: "lk-name" }, this.pair(cell)), h("span", { class: "lk-count" }, table.counts[cell]!.toLocaleString("en")));
      list.append(row);
    }
    if (found.length === 0) return h("p", { class: "lk-quiet" }, "No item is predicted wrongly.");
    return h("details", { class: "lk-fold", open }, h("summary", {}, "Confused most"), list);
  }

  private pair(cell: number): string {
    const { names } = this.table!;
    return `${names[Math.floor(cell / names.length)]!} as ${names[cell % names.length]!}`;
  }

  private words(cell: number): string {
    return `${this.pair(cell)}: ${plural(this.table!.counts[cell]!, "item")}`;
  }

  private select(cell: number): void {
    const { cells } = this.table!;
    const items: number[] = [];
    for (let item = 0; item < cells.length; item++) if (cells[item] === cell) items.push(item);
    this.chosen = Uint32Array.from(items);
    this.app.store.update({ selection: this.chosen });
    this.mark(cell);
    this.app.announce(`${this.words(cell)} selected`);
  }

  /** Shows which count is selected; none, if the selection was made elsewhere. */
  private mark(cell: number): void {
    if (cell < 0 && this.chosen === this.app.store.state.selection) return;
    if (cell < 0) this.chosen = null;
    for (const [one, found] of this.buttons) found.setAttribute("aria-pressed", String(one === cell));
    this.told.textContent = cell < 0 ? "" : this.words(cell);
    this.gallery.show(this.chosen ?? new Uint32Array(0));
  }

  /** Goes to the next count in a direction. */
  private key(event: KeyboardEvent, side: number): void {
    const [dx, dy] = ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] } as Record<string, [number, number]>)[event.key] ?? [0, 0];
    const at = [...this.buttons].find(([, found]) => found === document.activeElement);
    if (!at || (!dx && !dy)) return;
    let [x, y] = [at[0] % side, Math.floor(at[0] / side)];
    for (x += dx, y += dy; x >= 0 && y >= 0 && x < side && y < side; x += dx, y += dy) {
      const next = this.buttons.get(y * side + x);
      if (!next) continue;
      at[1].tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
      break;
    }
    event.preventDefault();
  }
}

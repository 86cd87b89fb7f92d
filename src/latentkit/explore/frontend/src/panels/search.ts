// Search by class, item number or file name.

import { type App } from "../app";
import { type Dataset } from "../data/dataset";
import { clear, h, plural } from "../dom";

const MOST = 8;

interface Hit {
  text: string;
  note: string;
  take(): void;
}

export class Search {
  readonly element = h("div", { class: "lk-search" });
  readonly input = h("input", {
    type: "search", class: "lk-input", placeholder: "Search  /", role: "combobox", autocomplete: "off", spellcheck: "false",
    "aria-expanded": "false", "aria-controls": "lk-hits", "aria-autocomplete": "list",
  });
  private readonly list = h("ul", { class: "lk-hits", id: "lk-hits", role: "listbox", "aria-label": "Found", hidden: true });
  private hits: Hit[] = [];
  private active = 0;

  constructor(private readonly app: App, private readonly centre: (item: number) => void) {
    this.input.setAttribute("aria-label", `Search for ${wanted(app, "a file name")}`);
    this.element.append(this.input, this.list);
    this.input.addEventListener("input", () => this.search());
    this.input.addEventListener("focus", () => this.search());
    this.input.addEventListener("blur", () => setTimeout(() => this.close(), 150));
    this.input.addEventListener("keydown", (event) => this.key(event));
    app.store.on(["selection", "pinned"], ({ selection, pinned }) => {
      // What was searched for is cleared, so its words go, too.
      if (selection.length === 0 && pinned < 0 && document.activeElement !== this.input) this.input.value = "";
    });
  }

  private search(): void {
    const query = this.input.value.trim();
    this.hits = query ? found(this.app, query, this.centre) : [];
    this.active = 0;
    this.write(query);
  }

  private write(query: string): void {
    clear(this.list);
    this.hits.forEach((hit, place) => {
      const entry = h("li", { role: "option", id: `lk-hit-${place}`, "aria-selected": String(place === this.active) }, h("span", { class: "lk-name" }, hit.text), h("small", {}, hit.note));
      entry.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        this.take(place);
      });
      this.list.append(entry);
    });
    if (query && this.hits.length === 0) this.list.append(h("li", { class: "lk-quiet" }, `Nothing found: give ${wanted(this.app, "part of a file name")}.`));
    const open = query !== "";
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
    if (open && this.hits.length) this.input.setAttribute("aria-activedescendant", `lk-hit-${this.active}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  private key(event: KeyboardEvent): void {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (this.hits.length) this.active = (this.active + step + this.hits.length) % this.hits.length;
      this.write(this.input.value.trim());
    } else if (event.key === "Enter") this.take(this.active);
    else if (event.key === "Escape") {
      this.input.value = "";
      this.close();
      this.input.blur();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private take(place: number): void {
    const hit = this.hits[place];
    if (!hit) return;
    hit.take();
    this.app.announce(`${hit.text}: ${hit.note}`);
    this.close();
  }

  private close(): void {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
  }
}

/** What can be searched for, in words. */
function wanted(app: App, file: string): string {
  const { labels, files } = app.data.container.header.items;
  const all = [labels && "a class", "an item number", files && file].filter((one) => one !== null);
  return all.length < 2 ? all.join() : `${all.slice(0, -1).join(", ")} or ${all.at(-1)!}`;
}

/** Items of a number such as "5", "item 5", "test 5" or "train item 5": of several splits, the one of each. */
export function numbered(data: Dataset, query: string): { item: number; text: string }[] {
  const [, first, second, number] = /^(?:([\p{L}_-]+)[\s:]*)?(?:([\p{L}_-]+)\s*)?#?(\d+)$/u.exec(query.toLowerCase()) ?? [];
  if (number === undefined) return [];
  const split = first === "item" || first === "items" ? undefined : first;
  if (second !== undefined && (split === undefined || !/^items?$/.test(second))) return [];
  const names = data.splitNames.length ? data.splitNames : ["test"];
  const meant = split === undefined ? null : names.find((name) => name.startsWith(split) || split.startsWith(name));
  if (meant === undefined) return [];
  const several = data.splitNames.length > 1;
  return data.itemsOf(Number(number))
    .filter((item) => meant === null || (data.splitName(item) ?? meant) === meant)
    .map((item) => {
      const name = several ? (data.splitName(item) ?? "") : "";
      return { item, text: `${name ? `${name.charAt(0).toUpperCase()}${name.slice(1)} item` : "Item"} ${number}` };
    });
}

function found(app: App, query: string, centre: (item: number) => void): Hit[] {
  const { data, store } = app;
  const hits: Hit[] = [];
  const pin = (item: number): void => {
    app.pin(item);
    centre(item);
  };
  for (const { item, text } of numbered(data, query)) hits.push({ text, note: data.className(item) ?? "pin it", take: () => pin(item) });
  const wanted = query.toLowerCase();
  const labels = data.labels;
  if (labels) {
    // Names that begin with what was typed come first.
    const place = (label: number): number => data.classNames[label]!.toLowerCase().indexOf(wanted);
    const matching = [...data.classNames.keys()].filter((label) => place(label) >= 0);
    matching.sort((a, b) => Math.sign(place(a)) - Math.sign(place(b)) || a - b);
    matching.slice(0, MOST - hits.length).forEach((label) => {
      const name = data.classNames[label]!;
      const items = Uint32Array.from(indices(labels, label));
      hits.push({ text: name, note: `select ${plural(items.length, "item")}`, take: () => store.update({ selection: items, panel: "selection" }) });
    });
  }
  for (let item = 0; data.files && item < data.files.length && hits.length < MOST; item++) {
    const name = data.files[item]!;
    if (name.toLowerCase().includes(wanted)) hits.push({ text: name, note: data.itemName(item), take: () => pin(item) });
  }
  return hits;
}

function indices(labels: Int32Array, label: number): number[] {
  const items: number[] = [];
  for (let i = 0; i < labels.length; i++) if (labels[i] === label) items.push(i);
  return items;
}

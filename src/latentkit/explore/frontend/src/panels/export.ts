// Files that a user takes away: a table of the selection, and a list of items for the command line.

import { type App } from "../app";
import { h } from "../dom";

/** A cell of a CSV file; text that a spreadsheet would run as a formula is quoted with an apostrophe. */
export function cell(value: string | number): string {
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** A number in as few digits as give the same 32-bit float. */
function float(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

/** A table with one line for each item: item, split, class, file, columns, coordinates, trust, latents. */
export async function csv(app: App, items: Uint32Array): Promise<string> {
  const { data, map } = app;
  const { space } = map;
  const head: string[] = ["item"];
  const columns: ((item: number) => string | number)[] = [(item) => data.number(item)];
  const add = (name: string, value: (item: number) => string | number): void => {
    head.push(cell(name));
    columns.push(value);
  };
  if (data.splits) add("split", (item) => data.splitNames[data.splits![item]!] ?? "");
  if (data.labels) add("class", (item) => data.className(item) ?? "");
  if (data.files) add("file", (item) => data.files![item] ?? "");
  for (const { header, values } of space.columns) {
    const numbers = await values.get();
    add(header.key, (item) => (header.kind === "class" ? (header.names?.[numbers[item]!] ?? "") : float(numbers[item]!)));
  }
  for (const one of space.maps) {
    const { dims, scale, centre } = one.header;
    const key = one.key.replace(":", "_");
    const positions = await one.values.get();
    for (let d = 0; d < dims; d++) {
      add(`${key}_${"xyz"[d]!}`, (item) => float(Math.fround((centre[d] ?? 0) + scale * positions[item * dims + d]!)));
    }
    const trust = await one.trust?.get();
    if (trust) add(`${key}_trust`, (item) => float(trust[item]!));
  }
  if (space.latents) {
    const latents = await space.latents.get();
    for (let d = 0; d < space.dim; d++) add(`z${d}`, (item) => float(latents[item * space.dim + d]!));
  }
  const lines = Array.from(items, (item) => columns.map((column) => cell(column(item))).join(","));
  return [head.join(","), ...lines, ""].join("\n");
}

/** A list of items that the option --items of the command line reads. */
export function itemsFile(app: App, items: Uint32Array): string {
  const { data, space } = app;
  const test = data.splitNames.indexOf("test");
  const lines = [`# latentkit items of ${space.header.name.replaceAll(/\s+/g, " ")}`];
  for (const item of items) {
    const split = data.splits ? data.splits[item]! : test;
    lines.push(split === test ? String(data.number(item)) : `${data.splitNames[split] ?? ""}:${data.number(item)}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Offers text as a file. */
export function save(name: string, kind: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: kind }));
  const link = h("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

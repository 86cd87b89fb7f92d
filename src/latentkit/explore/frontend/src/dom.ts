// Elements from code. Text goes in as text nodes only, so that names from data are never markup.

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined>;

/** Makes an element. Attributes that are false, null or undefined are left out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

export interface ButtonOptions {
  title?: string;
  pressed?: boolean;
  className?: string;
  icon?: Node;
  label?: string;
}

/** A button that does something. */
export function button(text: string, action: (event: MouseEvent) => void, options: ButtonOptions = {}): HTMLButtonElement {
  const element = h("button", {
    type: "button",
    class: options.className ?? "lk-button",
    title: options.title,
    "aria-label": options.label,
    "aria-pressed": options.pressed === undefined ? null : String(options.pressed),
  });
  if (options.icon) element.append(options.icon);
  if (text) element.append(text);
  element.addEventListener("click", action);
  return element;
}

/** A choice from a list. */
export function select(
  label: string,
  choices: readonly { value: string; text: string; group?: string }[],
  value: string,
  action: (value: string) => void,
): HTMLSelectElement {
  const element = h("select", { class: "lk-select", "aria-label": label });
  const groups = new Map<string, HTMLOptGroupElement>();
  for (const choice of choices) {
    const option = h("option", { value: choice.value }, choice.text);
    if (choice.group === undefined) {
      element.append(option);
      continue;
    }
    let group = groups.get(choice.group);
    if (!group) {
      group = h("optgroup", { label: choice.group });
      groups.set(choice.group, group);
      element.append(group);
    }
    group.append(option);
  }
  element.value = value;
  element.addEventListener("change", () => action(element.value));
  return element;
}

/** A box to tick. */
export function checkbox(text: string, checked: boolean, action: (on: boolean) => void, title?: string): HTMLLabelElement {
  const input = h("input", { type: "checkbox" });
  input.checked = checked;
  input.addEventListener("change", () => action(input.checked));
  return h("label", { class: "lk-check", title }, input, h("span", {}, text));
}

const SVG = "http://www.w3.org/2000/svg";

/** A line icon of 20 by 20 units from path data. */
export function icon(...paths: string[]): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", "lk-icon");
  svg.setAttribute("aria-hidden", "true");
  for (const data of paths) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", data);
    svg.append(path);
  }
  return svg;
}

export function clear(element: Element): void {
  element.replaceChildren();
}

/** A canvas of a size in CSS pixels, drawn at the screen's resolution. */
export function sizedCanvas(width: number, height: number, className = ""): HTMLCanvasElement {
  const ratio = pixelRatio();
  const canvas = h("canvas", { class: className });
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.setProperty("width", `${width}px`);
  canvas.style.setProperty("height", `${height}px`);
  return canvas;
}

/** Pixels of the screen for one of CSS; more than two cost time and show nothing more. */
export function pixelRatio(): number {
  return Math.min(2, Math.max(1, window.devicePixelRatio || 1));
}

export function context2d(canvas: HTMLCanvasElement, options?: CanvasRenderingContext2DSettings): CanvasRenderingContext2D {
  const context = canvas.getContext("2d", options);
  if (!context) throw new Error("this browser cannot draw on a canvas");
  return context;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** A number with three significant digits. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(1);
  return Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 6 });
}

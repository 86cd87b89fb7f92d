// What could not be read after the first picture: said at once in a line that can be closed, and kept in the notes.

import { button, h } from "./dom";
import { LayoutError } from "./layout";

export class Faults {
  readonly element = h("div", { class: "lk-faults", role: "alert", hidden: true });
  /** The same lines, for the notes. */
  readonly notes = h("div", {});
  private readonly told = new Set<string>();

  add(reason: unknown): void {
    const text = faultText(reason);
    const line = h("p", {}, h("span", {}, text));
    line.append(button("Close", () => {
      line.remove();
      this.element.hidden = this.element.childElementCount === 0;
    }));
    const open = [...this.element.children].find((one) => one.firstChild?.textContent === text);
    if (!open) this.element.append(line);
    this.element.hidden = false;
    if (this.told.has(text)) return;
    this.told.add(text);
    this.notes.append(h("p", {}, text));
    this.notes.closest("details")?.removeAttribute("hidden");
  }
}

/** What is wrong, in one line. */
export function faultText(reason: unknown): string {
  if (reason instanceof LayoutError) return reason.message;
  return `A part of this page cannot be shown: ${reason instanceof Error ? reason.message : String(reason)}`;
}

// Mouse, pen and fingers on a map, told as what the user means.

export interface Meaning {
  /** A pointer is over a place, without a button. */
  hover(x: number, y: number): void;
  leave(): void;
  tap(x: number, y: number, event: PointerEvent): void;
  pan(dx: number, dy: number): void;
  zoom(factor: number, x: number, y: number): void;
  /** A drag begins; true if it is a stroke of the present tool, false if it moves the map. */
  strokeStarts(x: number, y: number, event: PointerEvent): boolean;
  stroke(x: number, y: number): void;
  strokeEnds(): void;
  strokeCancelled(): void;
}

const STILL = 5; // pixels a pointer may move and still be a tap

interface Pointer {
  x: number;
  y: number;
}

export function listen(element: HTMLElement, meaning: Meaning): void {
  const pointers = new Map<number, Pointer>();
  let start: Pointer | null = null;
  let moved = false;
  let stroking = false;

  const place = (event: MouseEvent): Pointer => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  element.addEventListener("pointerdown", (event) => {
    if (event.button > 1 || pointers.size >= 2) return;
    const at = place(event);
    pointers.set(event.pointerId, at);
    element.setPointerCapture(event.pointerId);
    if (pointers.size === 2) {
      // A second finger always moves and zooms.
      if (stroking) meaning.strokeCancelled();
      stroking = false;
      moved = true;
      return;
    }
    start = at;
    moved = false;
    stroking = event.button === 0 && meaning.strokeStarts(at.x, at.y, event);
  });

  element.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    const at = place(event);
    if (!before) {
      if (event.pointerType !== "touch") meaning.hover(at.x, at.y);
      return;
    }
    if (pointers.size === 2) {
      pinch(meaning, pointers, event.pointerId, at);
      return;
    }
    if (start && Math.hypot(at.x - start.x, at.y - start.y) > STILL) moved = true;
    if (moved) {
      if (stroking) meaning.stroke(at.x, at.y);
      else meaning.pan(at.x - before.x, at.y - before.y);
    }
    if (moved || !start) pointers.set(event.pointerId, at);
  });

  const ends = (event: PointerEvent, cancelled: boolean): void => {
    if (!pointers.delete(event.pointerId)) return;
    if (pointers.size > 0) return;
    if (stroking && moved) {
      if (cancelled) meaning.strokeCancelled();
      else meaning.strokeEnds();
    } else if (!cancelled && !moved) {
      if (stroking) meaning.strokeCancelled();
      const at = place(event);
      meaning.tap(at.x, at.y, event);
    }
    start = null;
    stroking = false;
  };
  element.addEventListener("pointerup", (event) => ends(event, false));
  element.addEventListener("pointercancel", (event) => ends(event, true));
  element.addEventListener("pointerleave", (event) => {
    if (!pointers.has(event.pointerId) && event.pointerType !== "touch") meaning.leave();
  });
  element.addEventListener("wheel", (event) => {
    event.preventDefault();
    const at = place(event);
    const lines = event.deltaMode === 1 ? 16 : 1;
    // A pinch on a trackpad comes as a wheel with the control key, in smaller steps.
    const speed = event.ctrlKey ? 0.01 : 0.0016;
    meaning.zoom(Math.exp(-Math.max(-400, Math.min(400, event.deltaY * lines)) * speed), at.x, at.y);
    if (pointers.size === 0) meaning.hover(at.x, at.y); // another item may be under the pointer now
  }, { passive: false });
  element.addEventListener("dblclick", (event) => {
    const at = place(event);
    meaning.zoom(event.shiftKey ? 1 / 2 : 2, at.x, at.y);
  });
}

function pinch(meaning: Meaning, pointers: Map<number, Pointer>, moving: number, at: Pointer): void {
  const other = [...pointers].find(([id]) => id !== moving)?.[1];
  const before = pointers.get(moving);
  if (!other || !before) return;
  const distance = Math.hypot(before.x - other.x, before.y - other.y);
  const [x, y] = [(at.x + other.x) / 2, (at.y + other.y) / 2];
  meaning.pan(x - (before.x + other.x) / 2, y - (before.y + other.y) / 2);
  if (distance > 10) meaning.zoom(Math.hypot(at.x - other.x, at.y - other.y) / distance, x, y);
  pointers.set(moving, at);
}

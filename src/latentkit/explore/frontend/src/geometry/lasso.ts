// Which points lie in a polygon or a rectangle.

/** Whether a point lies in a polygon of x, y, x, y, ... by the even-odd rule. */
export function inPolygon(polygon: ArrayLike<number>, x: number, y: number): boolean {
  let inside = false;
  const n = polygon.length;
  let x1 = polygon[n - 2]!;
  let y1 = polygon[n - 1]!;
  for (let i = 0; i < n; i += 2) {
    const x2 = polygon[i]!;
    const y2 = polygon[i + 1]!;
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
    x1 = x2;
    y1 = y2;
  }
  return inside;
}

/** Items whose positions lie in a polygon, ascending. */
export function itemsInPolygon(positions: Float32Array, polygon: ArrayLike<number>): Uint32Array {
  if (polygon.length < 6) return new Uint32Array(0);
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < polygon.length; i += 2) {
    left = Math.min(left, polygon[i]!);
    right = Math.max(right, polygon[i]!);
    low = Math.min(low, polygon[i + 1]!);
    high = Math.max(high, polygon[i + 1]!);
  }
  const found: number[] = [];
  for (let item = 0, at = 0; at < positions.length; item++, at += 2) {
    const x = positions[at]!;
    const y = positions[at + 1]!;
    if (x >= left && x <= right && y >= low && y <= high && inPolygon(polygon, x, y)) found.push(item);
  }
  return Uint32Array.from(found);
}

/** Corners of a rectangle as a polygon. */
export function rectangle(x1: number, y1: number, x2: number, y2: number): number[] {
  return [x1, y1, x2, y1, x2, y2, x1, y2];
}

/** Items of both, of the first only, or of either; all ascending. */
export function combine(before: Uint32Array, found: Uint32Array, how: "replace" | "add" | "subtract"): Uint32Array {
  if (how === "replace") return found;
  const set = new Set(before);
  for (const item of found) {
    if (how === "add") set.add(item);
    else set.delete(item);
  }
  return Uint32Array.from(set).sort();
}

// A way from one item to another that never steps far: along nearest neighbours.

import { nearest } from "./nearest";

/**
 * Items from `from` to `to`, each among the k nearest of the one before or the other way round, so that the sum of
 * squared steps is smallest. Squares make many small steps cheaper than a leap. Null if there is no way within
 * `most` visited items; `pause` is awaited now and then, and stops the search if it gives false.
 */
export async function walk(
  values: Float32Array, dim: number, from: number, to: number, k: number, most: number, pause: () => Promise<boolean>,
): Promise<number[] | null> {
  const cost = new Map<number, number>([[from, 0]]);
  const before = new Map<number, number>();
  const done = new Set<number>();
  const queue = new Heap();
  queue.push(from, 0);
  // Neighbours are not mutual: what has the target among its own neighbours may not be among the target's.
  const entrances = new Map(nearest(values, dim, row(values, dim, to), k, to).map((one) => [one.item, one.distance] as const));
  for (let item = queue.pop(); item !== undefined; item = queue.pop()) {
    if (done.has(item)) continue;
    if (item === to) return way(before, to);
    done.add(item);
    if (done.size > most) return null;
    if (done.size % 64 === 0 && !(await pause())) return null;
    const here = cost.get(item)!;
    const steps = nearest(values, dim, row(values, dim, item), k, item);
    const entrance = entrances.get(item);
    if (entrance !== undefined) steps.push({ item: to, distance: entrance });
    for (const step of steps) {
      const there = here + step.distance ** 2;
      if (there < (cost.get(step.item) ?? Infinity)) {
        cost.set(step.item, there);
        before.set(step.item, item);
        queue.push(step.item, there);
      }
    }
  }
  return null;
}

function row(values: Float32Array, dim: number, item: number): Float32Array {
  return values.subarray(item * dim, (item + 1) * dim);
}

function way(before: Map<number, number>, to: number): number[] {
  const items = [to];
  for (let item = before.get(to); item !== undefined; item = before.get(item)) items.push(item);
  return items.reverse();
}

/** A queue whose next entry is the cheapest. */
class Heap {
  private readonly entries: { item: number; cost: number }[] = [];

  push(item: number, cost: number): void {
    const { entries } = this;
    let place = entries.length;
    entries.push({ item, cost });
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (entries[parent]!.cost <= cost) break;
      entries[place] = entries[parent]!;
      place = parent;
    }
    entries[place] = { item, cost };
  }

  pop(): number | undefined {
    const { entries } = this;
    const first = entries[0];
    const last = entries.pop();
    if (!first || !last) return undefined;
    if (entries.length === 0) return first.item;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= entries.length) break;
      if (child + 1 < entries.length && entries[child + 1]!.cost < entries[child]!.cost) child++;
      if (entries[child]!.cost >= last.cost) break;
      entries[place] = entries[child]!;
      place = child;
    }
    entries[place] = last;
    return first.item;
  }
}

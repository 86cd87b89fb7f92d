// Exact nearest neighbours among latents, by comparing with every item.

export interface Neighbour {
  item: number;
  distance: number;
}

/**
 * The k items nearest to a point, nearest first; of equal distances, the lower item first.
 *
 * @param values rows of `dim` numbers.
 * @param point `dim` numbers.
 * @param except an item that is left out, or -1.
 */
export function nearest(values: Float32Array, dim: number, point: ArrayLike<number>, k: number, except = -1): Neighbour[] {
  const count = dim > 0 ? values.length / dim : 0;
  const wanted = Math.min(k, count - (except >= 0 && except < count ? 1 : 0));
  if (wanted <= 0) return [];
  const query = Float32Array.from(point);
  const items = new Int32Array(wanted);
  const squares = new Float64Array(wanted).fill(Infinity);
  let filled = 0;
  let limit = Infinity;
  for (let item = 0, at = 0; item < count; item++, at += dim) {
    if (item === except) continue;
    let square = 0;
    let d = 0;
    // Give up on a row as soon as it is too far.
    while (d < dim) {
      const end = Math.min(dim, d + 16);
      for (; d < end; d++) {
        const difference = values[at + d]! - query[d]!;
        square += difference * difference;
      }
      if (square >= limit) break;
    }
    if (!(square < limit)) continue;
    let place = filled < wanted ? filled++ : wanted - 1;
    for (; place > 0 && squares[place - 1]! > square; place--) {
      squares[place] = squares[place - 1]!;
      items[place] = items[place - 1]!;
    }
    squares[place] = square;
    items[place] = item;
    if (filled === wanted) limit = squares[wanted - 1]!;
  }
  return Array.from({ length: filled }, (_, i) => ({ item: items[i]!, distance: Math.sqrt(squares[i]!) }));
}

/** Distances of every row to a point. */
export function distancesTo(values: Float32Array, dim: number, point: ArrayLike<number>, into: Float32Array): Float32Array {
  const query = Float32Array.from(point);
  for (let item = 0, at = 0; item < into.length; item++) {
    let square = 0;
    for (let d = 0; d < dim; d++, at++) {
      const difference = values[at]! - query[d]!;
      square += difference * difference;
    }
    into[item] = Math.sqrt(square);
  }
  return into;
}

/** How many of the values are smaller than a given one: the rank of a distance, from 0. */
export function countBelow(values: Float32Array, limit: number): number {
  let count = 0;
  for (const value of values) if (value < limit) count++;
  return count;
}

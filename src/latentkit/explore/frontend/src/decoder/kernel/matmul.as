// AssemblyScript, compiled by build_kernel.mjs into ../kernel_wasm.ts. It is given memory, allocates nothing, and
// believes what it is told: the caller has checked every table.

/** Numbers of a column panel: two vectors of four. */
const WIDE: i32 = 8;

// @ts-ignore: decorator
@inline
function activated(value: v128, act: i32, slope: v128): v128 {
  if (act == 1) return f32x4.max(value, f32x4.splat(0));
  if (act == 2) {
    return v128.bitselect(value, f32x4.mul(value, slope), f32x4.gt(value, f32x4.splat(0)));
  }
  return value;
}

// @ts-ignore: decorator
@inline
function activatedOne(value: f32, act: i32, slope: f32): f32 {
  if (act == 1) return max<f32>(value, 0);
  if (act == 2) return value > 0 ? value : value * slope;
  return value;
}

/** Copy columns `from` to `from + 8` of the right matrix into the panel, [inner][8]; what is beyond is zero. */
function pack(panel: usize, x: usize, inners: usize, columns: usize, from: i32, inner: i32, count: i32): void {
  const first = columns + ((<usize>from) << 2);
  let close = count - from >= WIDE;
  for (let j = 1; close && j < WIDE; j++) {
    close = load<i32>(first + (<usize>j << 2)) - load<i32>(first) == j << 2;
  }
  if (close) {
    x += load<i32>(first);
    for (let k = 0; k < inner; k++) {
      const place = x + load<i32>(inners + (<usize>k << 2));
      v128.store(panel, v128.load(place));
      v128.store(panel, v128.load(place, 16), 16);
      panel += 32;
    }
    return;
  }
  const many = min(WIDE, count - from);
  for (let j = 0; j < WIDE; j++) {
    let to = panel + (<usize>j << 2);
    if (j < many) {
      const base = x + load<i32>(first + (<usize>j << 2));
      for (let k = 0; k < inner; k++) {
        store<f32>(to, load<f32>(base + load<i32>(inners + (<usize>k << 2))));
        to += 32;
      }
    } else {
      for (let k = 0; k < inner; k++) {
        store<f32>(to, 0);
        to += 32;
      }
    }
  }
}

/** Write up to eight numbers of one row of the result. */
// @ts-ignore: decorator
@inline
function put(row: usize, targets: usize, many: i32, close: bool, low: v128, high: v128): void {
  if (close) {
    row += load<i32>(targets);
    v128.store(row, low);
    v128.store(row, high, 16);
    return;
  }
  store<f32>(row + load<i32>(targets), f32x4.extract_lane(low, 0));
  if (many > 1) store<f32>(row + load<i32>(targets, 4), f32x4.extract_lane(low, 1));
  if (many > 2) store<f32>(row + load<i32>(targets, 8), f32x4.extract_lane(low, 2));
  if (many > 3) store<f32>(row + load<i32>(targets, 12), f32x4.extract_lane(low, 3));
  if (many > 4) store<f32>(row + load<i32>(targets, 16), f32x4.extract_lane(high, 0));
  if (many > 5) store<f32>(row + load<i32>(targets, 20), f32x4.extract_lane(high, 1));
  if (many > 6) store<f32>(row + load<i32>(targets, 24), f32x4.extract_lane(high, 2));
  if (many > 7) store<f32>(row + load<i32>(targets, 28), f32x4.extract_lane(high, 3));
}

/**
 * result[m, n] = act(offset[m] + sum over k of left[m, k] right[k, n]).
 *
 * All tables hold distances in bytes: of rows in the left matrix, the result and the offset, of columns in the right
 * matrix and the result, and of k in the right matrix. In the left matrix, k is close-packed. `offset` is 0 where there
 * is none. `panel` has room for 8 x inner numbers.
 */
export function matmul(
  left: usize, lefts: usize, right: usize, inners: usize, columns: usize,
  result: usize, rows: usize, targets: usize, offset: usize, offsets: usize,
  m: i32, inner: i32, n: i32, act: i32, slope: f32, panel: usize,
): void {
  if (n == 1) {
    vector(left, lefts, right + load<i32>(columns), inners, result + load<i32>(targets), rows, offset, offsets, m, inner, act, slope, panel);
    return;
  }
  const slopes = f32x4.splat(slope);
  for (let from = 0; from < n; from += WIDE) {
    pack(panel, right, inners, columns, from, inner, n);
    const many = min(WIDE, n - from);
    const target = targets + ((<usize>from) << 2);
    let close = many == WIDE;
    for (let j = 1; close && j < WIDE; j++) {
      close = load<i32>(target + (<usize>j << 2)) - load<i32>(target) == j << 2;
    }
    let row = 0;
    for (; row + 4 <= m; row += 4) {
      const at = (<usize>row) << 2;
      let a0 = left + load<i32>(lefts + at);
      let a1 = left + load<i32>(lefts + at, 4);
      let a2 = left + load<i32>(lefts + at, 8);
      let a3 = left + load<i32>(lefts + at, 12);
      let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
      if (offset) {
        c00 = f32x4.splat(load<f32>(offset + load<i32>(offsets + at)));
        c10 = f32x4.splat(load<f32>(offset + load<i32>(offsets + at, 4)));
        c20 = f32x4.splat(load<f32>(offset + load<i32>(offsets + at, 8)));
        c30 = f32x4.splat(load<f32>(offset + load<i32>(offsets + at, 12)));
        c01 = c00; c11 = c10; c21 = c20; c31 = c30;
      }
      let b = panel;
      const end = panel + ((<usize>inner) << 5);
      while (b < end) {
        const b0 = v128.load(b);
        const b1 = v128.load(b, 16);
        const v0 = v128.load32_splat(a0);
        c00 = f32x4.add(c00, f32x4.mul(v0, b0));
        c01 = f32x4.add(c01, f32x4.mul(v0, b1));
        const v1 = v128.load32_splat(a1);
        c10 = f32x4.add(c10, f32x4.mul(v1, b0));
        c11 = f32x4.add(c11, f32x4.mul(v1, b1));
        const v2 = v128.load32_splat(a2);
        c20 = f32x4.add(c20, f32x4.mul(v2, b0));
        c21 = f32x4.add(c21, f32x4.mul(v2, b1));
        const v3 = v128.load32_splat(a3);
        c30 = f32x4.add(c30, f32x4.mul(v3, b0));
        c31 = f32x4.add(c31, f32x4.mul(v3, b1));
        a0 += 4; a1 += 4; a2 += 4; a3 += 4; b += 32;
      }
      put(result + load<i32>(rows + at), target, many, close, activated(c00, act, slopes), activated(c01, act, slopes));
      put(result + load<i32>(rows + at, 4), target, many, close, activated(c10, act, slopes), activated(c11, act, slopes));
      put(result + load<i32>(rows + at, 8), target, many, close, activated(c20, act, slopes), activated(c21, act, slopes));
      put(result + load<i32>(rows + at, 12), target, many, close, activated(c30, act, slopes), activated(c31, act, slopes));
    }
    for (; row < m; row++) {
      const at = (<usize>row) << 2;
      let a0 = left + load<i32>(lefts + at);
      let c0 = f32x4.splat(offset ? load<f32>(offset + load<i32>(offsets + at)) : 0), c1 = c0;
      let b = panel;
      const end = panel + ((<usize>inner) << 5);
      while (b < end) {
        const v0 = v128.load32_splat(a0);
        c0 = f32x4.add(c0, f32x4.mul(v0, v128.load(b)));
        c1 = f32x4.add(c1, f32x4.mul(v0, v128.load(b, 16)));
        a0 += 4; b += 32;
      }
      put(result + load<i32>(rows + at), target, many, close, activated(c0, act, slopes), activated(c1, act, slopes));
    }
  }
}

// @ts-ignore: decorator
@inline
function total(values: v128): f32 {
  return (f32x4.extract_lane(values, 0) + f32x4.extract_lane(values, 1)) +
    (f32x4.extract_lane(values, 2) + f32x4.extract_lane(values, 3));
}

/** The same for a single column: dot products of rows. */
function vector(
  left: usize, lefts: usize, right: usize, inners: usize, result: usize, rows: usize, offset: usize, offsets: usize,
  m: i32, inner: i32, act: i32, slope: f32, panel: usize,
): void {
  for (let k = 0; k < inner; k++) {
    store<f32>(panel + (<usize>k << 2), load<f32>(right + load<i32>(inners + (<usize>k << 2))));
  }
  const fours = panel + ((<usize>(inner & ~3)) << 2);
  const end = panel + ((<usize>inner) << 2);
  for (let row = 0; row < m; row++) {
    const at = (<usize>row) << 2;
    let a = left + load<i32>(lefts + at);
    let first = f32x4.splat(0), second = first, b = panel;
    while (b + 16 < fours) {
      first = f32x4.add(first, f32x4.mul(v128.load(a), v128.load(b)));
      second = f32x4.add(second, f32x4.mul(v128.load(a, 16), v128.load(b, 16)));
      a += 32; b += 32;
    }
    while (b < fours) {
      first = f32x4.add(first, f32x4.mul(v128.load(a), v128.load(b)));
      a += 16; b += 16;
    }
    let sum = total(f32x4.add(first, second));
    while (b < end) {
      sum += load<f32>(a) * load<f32>(b);
      a += 4; b += 4;
    }
    if (offset) sum += load<f32>(offset + load<i32>(offsets + at));
    store<f32>(result + load<i32>(rows + at), activatedOne(sum, act, slope));
  }
}

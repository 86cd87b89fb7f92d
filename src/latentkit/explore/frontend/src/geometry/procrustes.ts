// Turning, mirroring and scaling one map so that it lies on another as well as it can.

/**
 * Positions of `moving` after the similarity (shift, turn, mirror, scale) that brings them closest to `fixed`.
 *
 * With C = sum of moving * fixed^T, the best turn is by the angle of C's antisymmetric part; mirroring first is better
 * if the other combination of C's entries is longer. In two dimensions this is what the singular values would give.
 */
export function aligned(moving: Float32Array, fixed: Float32Array): Float32Array {
  const count = moving.length / 2;
  let [mx, my, fx, fy] = [0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    mx += moving[2 * i]!;
    my += moving[2 * i + 1]!;
    fx += fixed[2 * i]!;
    fy += fixed[2 * i + 1]!;
  }
  [mx, my, fx, fy] = [mx / count, my / count, fx / count, fy / count];
  let [xx, xy, yx, yy, size] = [0, 0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const a = moving[2 * i]! - mx;
    const b = moving[2 * i + 1]! - my;
    const c = fixed[2 * i]! - fx;
    const d = fixed[2 * i + 1]! - fy;
    xx += a * c;
    xy += a * d;
    yx += b * c;
    yy += b * d;
    size += a * a + b * b;
  }
  const turned = Math.hypot(xx + yy, xy - yx);
  const mirrored = Math.hypot(xx - yy, xy + yx);
  const mirror = mirrored > turned ? -1 : 1;
  const cos = xx + mirror * yy;
  const sin = xy - mirror * yx;
  const scale = size > 0 ? 1 / size : 0;
  const result = new Float32Array(moving.length);
  for (let i = 0; i < count; i++) {
    const a = moving[2 * i]! - mx;
    const b = mirror * (moving[2 * i + 1]! - my);
    result[2 * i] = fx + scale * (cos * a - sin * b);
    result[2 * i + 1] = fy + scale * (sin * a + cos * b);
  }
  return result;
}

/** Positions between two maps. */
export function between(from: Float32Array, to: Float32Array, part: number, into: Float32Array): Float32Array {
  for (let i = 0; i < into.length; i++) into[i] = from[i]! + part * (to[i]! - from[i]!);
  return into;
}

/** Positions of three dimensions seen from a direction: turned about the vertical, then about the horizontal axis. */
export function projected(values: Float32Array, yaw: number, pitch: number, into: Float32Array): Float32Array {
  const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  for (let i = 0, at = 0; at < values.length; i += 2, at += 3) {
    const x = values[at]!;
    const y = values[at + 1]!;
    const z = values[at + 2]!;
    into[i] = cy * x + sy * z;
    into[i + 1] = cp * y - sp * (cy * z - sy * x);
  }
  return into;
}

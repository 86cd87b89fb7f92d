import { describe, expect, it } from "vitest";
import { crc32, fromBase64, fromHalves, gunzip } from "../src/data/bytes";
import { Container, LayoutError, type Section } from "../src/layout";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

async function gzip(bytes: ArrayBufferView): Promise<Uint8Array> {
  const stream = new Blob([bytes as unknown as BlobPart]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The definition, bit by bit. */
function slowCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function header(more: object = {}): object {
  return { format: "latentkit-explorer", version: 1, items: { count: 3 }, spaces: [{}], ...more };
}

function section(dtype: Section["dtype"], shape: number[], name = "part"): Section {
  return { name, dtype, shape, encoding: "gzip" };
}

async function container(values: ArrayBufferView): Promise<Container> {
  return Container.fromWidget(header(), { part: await gzip(values) });
}

describe("bytes", () => {
  it("computes CRC-32 for every length around a step of eight", () => {
    expect(crc32(utf8("123456789"))).toBe(0xcbf43926);
    for (let length = 0; length < 40; length++) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 37 + 11) & 255);
      expect(crc32(bytes)).toBe(slowCrc(bytes));
    }
  });

  it("reads half floats, also subnormal ones and infinity", () => {
    expect([...fromHalves(Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7c00, 0x3555, 0))]).toEqual([1, -2, 2 ** -24, Infinity, 0.333251953125, 0]);
  });

  it("reads base64 and gzip", async () => {
    expect([...fromBase64("AP8Q")]).toEqual([0, 255, 16]);
    expect([...(await gunzip(await gzip(Uint8Array.of(1, 2, 3))))]).toEqual([1, 2, 3]);
  });
});

describe("Container", () => {
  it("reads arrays of each kind", async () => {
    expect([...(await (await container(Float32Array.of(1.5, -2))).f32(section("f4", [2])))]).toEqual([1.5, -2]);
    expect([...(await (await container(Uint16Array.of(0x3c00))).f32(section("f2", [1])))]).toEqual([1]);
    expect([...(await (await container(Int16Array.of(-1, 9))).ints(section("i2", [2])))]).toEqual([-1, 9]);
    expect([...(await (await container(Uint32Array.of(7))).ints(section("u4", [1])))]).toEqual([7]);
    expect(await (await container(utf8("Größe"))).text(section("utf8", [7]))).toBe("Größe");
  });

  it("says which part is missing, damaged, or of another size", async () => {
    const whole = await container(Float32Array.of(1, 2));
    await expect(whole.f32(section("f4", [3]))).rejects.toThrow(/part part differs/);
    await expect(whole.f32(section("f4", [2], "other"))).rejects.toThrow(/part other is missing/);
    const broken = Container.fromWidget(header(), { part: Uint8Array.of(1, 2, 3) });
    await expect(broken.f32(section("f4", [1]))).rejects.toThrow(LayoutError);
  });

  it("refuses headers of another format or version, and empty ones", () => {
    expect(() => Container.fromWidget({ format: "other" }, {})).toThrow(/not an explorer page/);
    expect(() => Container.fromWidget(header({ version: 2 }), {})).toThrow(/version 2/);
    expect(() => Container.fromWidget(header({ spaces: [] }), {})).toThrow(/no run/);
    expect(() => Container.fromWidget(header({ items: {} }), {})).toThrow(/no images/);
    expect(() => Container.fromWidget(null, {})).toThrow(LayoutError);
  });
});

// The container of an explorer page: a JSON header, and named blobs of typed arrays. Version 1.

import { crc32, fromBase64, fromHalves, gunzip } from "./data/bytes";

export const FORMAT = "latentkit-explorer";
export const VERSION = 1;

export interface Section {
  name: string;
  dtype: "f4" | "f2" | "u1" | "u2" | "u4" | "i4" | "i2" | "utf8" | "bytes";
  shape: number[];
  encoding: "gzip" | "raw";
}

export interface ImagesHeader {
  shape: [number, number, number];
  tile: [number, number];
  columns: number;
  rows: number;
  atlases: Section[];
  mime: string;
  lossless: boolean;
  /** Channels of the data that images are shown by, one or three; older pages do not tell. */
  channels?: number[];
}

export interface ItemsHeader {
  count: number;
  rows: Section | null;
  splits: { names: string[]; section: Section } | null;
  files: Section | null;
  labels: { names: string[]; section: Section } | null;
  images: ImagesHeader | null;
  no_images: string | null;
}

export interface ColumnHeader {
  key: string;
  name: string;
  kind: "number" | "class";
  names: string[] | null;
  section: Section;
  about: string;
}

export interface LinearInverse {
  kind: "linear";
  mean: number[];
  axes: number[][];
}

export interface MapHeader {
  key: string;
  name: string;
  dims: 2 | 3;
  section: Section;
  scale: number;
  centre: number[];
  trust: Section | null;
  figures: Record<string, number>;
  about: string;
  fitted_on: string;
  inverse: LinearInverse | null;
}

export interface DecoderHeader {
  program: Section;
  weights: Section;
  probe: { latents: Section; images: Section };
}

export interface SpaceHeader {
  name: string;
  model: string;
  title: string;
  epoch: number | null;
  latents: Section | null;
  dim: number;
  mean: number[];
  sigma: number[];
  order: number[];
  weights: number[];
  prior: boolean;
  columns: ColumnHeader[];
  maps: MapHeader[];
  mixture: { weights: number[]; means: Section; cholesky: Section } | null;
  decoder: DecoderHeader | null;
  no_decoder: string | null;
}

export interface Header {
  format: string;
  version: number;
  latentkit: string;
  title: string;
  subtitle: string;
  notes: string[];
  items: ItemsHeader;
  spaces: SpaceHeader[];
}

/** A file that is cut off, changed, or of another version. The message is shown as it is. */
export class LayoutError extends Error {}

interface Blob {
  bytes(): Uint8Array;
  crc: number | null;
  size: number | null;
}

const WIDTH = { f4: 4, f2: 2, u1: 1, u2: 2, u4: 4, i4: 4, i2: 2 } as const;

export class Container {
  readonly header: Header;
  private readonly blobs: Map<string, Blob>;
  private readonly read = new Map<string, Promise<Uint8Array>>();

  constructor(header: unknown, blobs: Map<string, Blob>) {
    this.header = checkedHeader(header);
    this.blobs = blobs;
  }

  static fromPage(page: Document): Container {
    const text = page.getElementById("explorer-header")?.textContent;
    if (text === undefined) throw new LayoutError("This page has no data: its header is missing.");
    if (!page.getElementById("explorer-end")) {
      throw new LayoutError("This file is cut off: its end is missing. Copy or download it again.");
    }
    const blobs = new Map<string, Blob>();
    for (const element of page.querySelectorAll<HTMLScriptElement>("script[data-section]")) {
      const { section = "", crc, bytes } = element.dataset;
      blobs.set(section, {
        bytes: () => {
          const content = decodedText(section, element.textContent);
          element.textContent = ""; // megabytes of text that nobody reads again
          return content;
        },
        crc: crc === undefined ? null : parseInt(crc, 16),
        size: bytes === undefined ? null : Number(bytes),
      });
    }
    return new Container(parsedHeader(text), blobs);
  }

  static fromWidget(header: unknown, blobs: Record<string, DataView | ArrayBuffer | Uint8Array>): Container {
    const found = new Map<string, Blob>();
    for (const [name, content] of Object.entries(blobs)) {
      found.set(name, { bytes: () => asBytes(content), crc: null, size: null });
    }
    return new Container(header, found);
  }

  /** Uncompressed bytes of a section, checked against its checksum. */
  bytes(section: Section): Promise<Uint8Array> {
    let found = this.read.get(section.name);
    if (!found) {
      found = this.readBytes(section);
      this.read.set(section.name, found);
    }
    return found;
  }

  /** Numbers of a section as 32-bit floats. */
  async f32(section: Section): Promise<Float32Array> {
    const values = await this.numbers(section);
    return values instanceof Float32Array ? values : Float32Array.from(values);
  }

  /** Whole numbers of a section. */
  async ints(section: Section): Promise<Int32Array> {
    const values = await this.numbers(section);
    return values instanceof Int32Array ? values : Int32Array.from(values);
  }

  async text(section: Section): Promise<string> {
    return new TextDecoder().decode(await this.bytes(section));
  }

  async json(section: Section): Promise<unknown> {
    return JSON.parse(await this.text(section)) as unknown;
  }

  private async numbers(section: Section): Promise<ArrayLike<number> & Iterable<number>> {
    const { dtype, shape, name } = section;
    if (dtype === "utf8" || dtype === "bytes") throw new LayoutError(`Part ${name} of this file holds no numbers.`);
    const bytes = await this.bytes(section);
    const count = shape.reduce((product, side) => product * side, 1);
    if (bytes.length !== count * WIDTH[dtype]) throw changed(name);
    const buffer = bytes.byteOffset % 4 === 0 ? bytes.buffer : bytes.slice().buffer;
    const offset = bytes.byteOffset % 4 === 0 ? bytes.byteOffset : 0;
    switch (dtype) {
      case "f4": return new Float32Array(buffer, offset, count);
      case "f2": return fromHalves(new Uint16Array(buffer, offset, count));
      case "u1": return new Uint8Array(buffer, offset, count);
      case "u2": return new Uint16Array(buffer, offset, count);
      case "u4": return new Uint32Array(buffer, offset, count);
      case "i4": return new Int32Array(buffer, offset, count);
      case "i2": return new Int16Array(buffer, offset, count);
    }
  }

  private async readBytes(section: Section): Promise<Uint8Array> {
    const blob = this.blobs.get(section.name);
    if (!blob) throw new LayoutError(`This file is incomplete: part ${section.name} is missing. Copy or download it again.`);
    let bytes = blob.bytes();
    if (section.encoding === "gzip") {
      try {
        bytes = await gunzip(bytes);
      } catch {
        throw changed(section.name);
      }
    }
    if (blob.size !== null && blob.size !== bytes.length) throw changed(section.name);
    if (blob.crc !== null && blob.crc !== crc32(bytes)) throw changed(section.name);
    return bytes;
  }
}

function changed(name: string): LayoutError {
  return new LayoutError(`This file was changed or damaged: part ${name} differs from its checksum. Copy or download it again.`);
}

function decodedText(name: string, text: string): Uint8Array {
  try {
    return fromBase64(text.trim());
  } catch {
    throw changed(name);
  }
}

function asBytes(content: DataView | ArrayBuffer | Uint8Array): Uint8Array {
  if (content instanceof ArrayBuffer) return new Uint8Array(content);
  return new Uint8Array(content.buffer, content.byteOffset, content.byteLength);
}

function parsedHeader(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new LayoutError("This file was changed or damaged: its header cannot be read. Copy or download it again.");
  }
}

function checkedHeader(value: unknown): Header {
  const header = value as Partial<Header> | null;
  if (header?.format !== FORMAT) throw new LayoutError("This is not an explorer page of latentkit: its header is of another kind.");
  if (header.version !== VERSION) {
    throw new LayoutError(`This page has data of version ${String(header.version)}, but its program reads version ${VERSION}. Write the page again.`);
  }
  const spaces = header.spaces;
  const count = header.items?.count;
  if (!Array.isArray(spaces) || spaces.length === 0) throw new LayoutError("This page shows no run: its list of runs is empty.");
  if (typeof count !== "number" || !(count >= 1)) throw new LayoutError("This page shows no images: their number is missing or zero.");
  return header as Header;
}

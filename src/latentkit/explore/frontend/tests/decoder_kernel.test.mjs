import { readFile } from "node:fs/promises";
import { URL } from "node:url";
import { expect, it } from "vitest";
import { build } from "../src/decoder/kernel/build_kernel.mjs";

it("has a kernel that is what its source compiles to", async () => {
  expect(await readFile(new URL("../src/decoder/kernel_wasm.ts", import.meta.url), "utf8")).toBe(await build());
}, 60_000);

// Compiles the AssemblyScript kernel into ../kernel_wasm.ts, as base64. Run: node src/decoder/kernel/build_kernel.mjs
import asc from "assemblyscript/asc";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const OPTIONS = ["--runtime", "stub", "--enable", "simd", "--importMemory", "--noColors", "-O3", "--noAssert"];

/** The text of kernel_wasm.ts: the same source and compiler give the same bytes. */
export async function build() {
  const source = await readFile(fileURLToPath(new URL("matmul.as", import.meta.url)), "utf8");
  let wasm;
  const { error, stderr } = await asc.main(["matmul.ts", "--outFile", "kernel.wasm", ...OPTIONS], {
    readFile: (name) => (name === "matmul.ts" ? source : null),
    writeFile: (name, data) => {
      if (name === "kernel.wasm") wasm = data;
    },
    listFiles: () => [],
  });
  if (error) throw new Error(stderr.toString(), { cause: error });
  return `// Compiled by kernel/build_kernel.mjs from kernel/matmul.as. Do not edit.
export const KERNEL_BASE64 =
  "${Buffer.from(wasm).toString("base64")}";
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(fileURLToPath(new URL("../kernel_wasm.ts", import.meta.url)), await build());
}

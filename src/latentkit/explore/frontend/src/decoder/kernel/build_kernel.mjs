// Compiles the AssemblyScript kernel into ../kernel_wasm.ts, as base64. Run: node src/decoder/kernel/build_kernel.mjs
import asc from "assemblyscript/asc";
import { readFile, writeFile } from "node:fs/promises";

const here = new URL("./", import.meta.url);
const target = process.argv[2] ?? new URL("../kernel_wasm.ts", here);
const source = await readFile(new URL("matmul.as", here), "utf8");
let wasm;
const { error, stderr } = await asc.main(
  ["matmul.ts", "--outFile", "kernel.wasm", "--runtime", "stub", "--enable", "simd", "--importMemory", "--noColors", "-O3", "--noAssert"],
  {
    readFile: (name) => (name === "matmul.ts" ? source : null),
    writeFile: (name, data) => {
      if (name === "kernel.wasm") wasm = data;
    },
    listFiles: () => [],
  },
);
if (error) {
  console.error(stderr.toString());
  throw error;
}
const text = `// Compiled by kernel/build_kernel.mjs from kernel/matmul.as. Do not edit.
export const KERNEL_BASE64 =
  "${Buffer.from(wasm).toString("base64")}";
`;
await writeFile(target, text);
console.log(`${wasm.length} bytes`);

// Bundles the front end into the two files that the wheel ships. The same sources and lock file give the same bytes.
import { build } from "esbuild";
import { writeFile } from "node:fs/promises";

const target = process.argv[2] ?? "..";

const bundled = await build({
  entryPoints: ["src/main.ts"],
  bundle: true,
  write: false,
  minify: true,
  format: "iife",
  globalName: "latentkitExplorer",
  target: ["chrome100", "firefox115", "safari16"],
  charset: "ascii",
  legalComments: "none",
});
// "</script" and "<!--" would end or confuse the element that holds the script.
const script = bundled.outputFiles[0].text.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
await writeFile(`${target}/explorer.js`, script);

const styles = await build({
  entryPoints: ["src/styles/explorer.css"],
  bundle: true,
  write: false,
  minify: true,
  target: ["chrome100", "firefox115", "safari16"],
  charset: "utf8",
  legalComments: "none",
});
await writeFile(`${target}/explorer.css`, styles.outputFiles[0].text);
console.log(`explorer.js ${script.length.toLocaleString("en")} bytes`);

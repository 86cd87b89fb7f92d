import js from "@eslint/js";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  { ignores: ["node_modules/**", "build/**", "src/decoder/kernel/**"] },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { project: "./tsconfig.json", tsconfigRootDir: import.meta.dirname } },
    rules: {
      "max-lines": ["error", 500],
      // Text from data must never become markup.
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "Use textContent: names from data are text." },
        { property: "outerHTML", message: "Use textContent: names from data are text." },
        { property: "insertAdjacentHTML", message: "Use textContent: names from data are text." },
      ],
      "no-restricted-globals": ["error", "fetch", "XMLHttpRequest", "localStorage", "eval"],
      // Numbers are written into sentences throughout.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // Typed arrays are read in bounds in inner loops, where a check would cost time.
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
    },
  },
  { files: ["**/*.mjs"], extends: [tseslint.configs.disableTypeChecked], languageOptions: { globals: { process: "readonly", console: "readonly" } } },
);

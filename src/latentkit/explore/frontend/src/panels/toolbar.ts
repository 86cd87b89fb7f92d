// What a drag on the map does.

import { type App } from "../app";
import { button, h, icon } from "../dom";
import { type Tool } from "../store";

export const TOOLS: readonly { tool: Tool; key: string; name: string; title: string; paths: string[] }[] = [
  { tool: "pan", key: "p", name: "Move", title: "Move the map", paths: ["M10 2.5v15M2.5 10h15M10 2.5 8 4.7M10 2.5l2 2.2M10 17.5l-2-2.2M10 17.5l2-2.2M2.5 10l2.2-2M2.5 10l2.2 2M17.5 10l-2.2-2M17.5 10l-2.2 2"] },
  { tool: "lasso", key: "l", name: "Lasso", title: "Select by drawing round points", paths: ["M10 3c4.2 0 7.3 2 7.3 4.8S14.200 12.600 10 12.600 2.700 10.600 2.700 7.800 5.800 3 10 3z", "M5.500 11.800c-1.300 1.200-.8 2.800.6 2.700 1.500-.1 2 1 1.400 2.500"] },
  { tool: "rectangle", key: "r", name: "Rectangle", title: "Select in a rectangle", paths: ["M3 6V4h2M8.500 4h3M15 4h2v2M17 9v2M17 14v2h-2M11.500 16h-3M5 16H3v-2M3 11V9"] },
  { tool: "decode", key: "c", name: "Decode", title: "Decode the latent under the pointer", paths: ["M3 4h14v12H3z", "M3 13.500l4-4 3.500 3.500 2-2 4.500 4", "M13 7.500h.01"] },
  { tool: "turn", key: "t", name: "Turn", title: "Turn a map of three dimensions", paths: ["M10 3c4 0 7 1.600 7 3.500S14 10 10 10 3 8.400 3 6.500", "M3 6.500v6C3 14.400 6 16 10 16s7-1.600 7-3.500v-6", "M3 6.500 1.500 8.500M3 6.500l2 1.800"] },
];

/** Whether a tool can do anything on the present map. */
export function usable(app: App, tool: Tool): boolean {
  if (tool === "decode") return app.space.header.decoder !== null;
  if (tool === "turn") return app.map.header.dims === 3;
  return true;
}

export function toolbar(app: App): HTMLElement {
  const { store } = app;
  const bar = h("div", { class: "lk-tools", role: "toolbar", "aria-label": "Tools" });
  for (const { tool, key, name, title, paths } of TOOLS) {
    const element = button("", () => store.update({ tool }), { className: "lk-tool", icon: icon(...paths), label: name, title: `${title} (${key.toUpperCase()})`, pressed: false });
    const follow = (): void => {
      element.setAttribute("aria-pressed", String(store.state.tool === tool));
      element.hidden = !usable(app, tool);
    };
    store.on(["tool", "maps"], follow);
    follow();
    bar.append(element);
  }
  store.on(["tool"], (state) => (app.root.dataset.tool = state.tool));
  app.root.dataset.tool = store.state.tool;
  return bar;
}

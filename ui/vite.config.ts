import { defineConfig } from "vitest/config";

// The UI calls one origin only; in development that is a node on its usual port (TERCET=http://host:port says another).
const node = process.env.TERCET ?? "http://127.0.0.1:3000";
const apis = ["/prometheus", "/tempo", "/quickwit", "/api"];

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: { target: "es2022", modulePreload: { polyfill: false }, assetsInlineLimit: 0, chunkSizeWarningLimit: 600 },
  server: { port: 5173, proxy: Object.fromEntries(apis.map((p) => [p, { target: node, changeOrigin: false }])) },
  test: { environment: "jsdom", include: ["src/**/*.test.ts", "src/**/*.test.tsx"] },
});

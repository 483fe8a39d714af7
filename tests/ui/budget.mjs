// What a browser fetches, compressed: the first load (index.html, what it names and what that imports at once) and all of
// it. Fails above the budget. Usage: node budget.mjs DIST
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";

const firstMax = 120 * 1024, totalMax = 500 * 1024;
const dist = process.argv[2];
const gzip = (path) => gzipSync(readFileSync(path), { level: 9 }).length;
const assets = readdirSync(join(dist, "assets"));

/** Files that `name` imports statically, and theirs. */
function withImports(name, seen = new Set()) {
  if (seen.has(name)) return seen;
  seen.add(name);
  if (!name.endsWith(".js")) return seen;
  const code = readFileSync(join(dist, "assets", name), "utf8");
  for (const m of code.matchAll(/(?:^|[;}\s])(?:import|export)\s*(?:[^"'()]*?from\s*)?["']\.\/([^"']+)["']/g)) withImports(m[1], seen);
  return seen;
}

const html = readFileSync(join(dist, "index.html"), "utf8");
const named = [...html.matchAll(/(?:src|href)="\/assets\/([^"]+)"/g)].map((m) => m[1]);
const home = assets.filter((a) => /^Home-.*\.(js|css)$/.test(basename(a)));
const first = new Set([...named, ...home].flatMap((n) => [...withImports(n)]));
const size = (names) => [...names].reduce((n, a) => n + gzip(join(dist, "assets", a)), 0);
const firstBytes = size(first) + gzip(join(dist, "index.html"));
const totalBytes = size(assets) + gzip(join(dist, "index.html"));
const kib = (n) => (n / 1024).toFixed(1) + " KiB";
console.log(`first load (Home) ${kib(firstBytes)} of ${kib(firstMax)}, total ${kib(totalBytes)} of ${kib(totalMax)} gzip`);
if (!named.some((n) => n.endsWith(".js")) || !home.length) {
  console.error("the build does not look as this check expects: no script in index.html or no Home chunk");
  process.exit(1);
}
if (firstBytes > firstMax || totalBytes > totalMax) process.exit(1);

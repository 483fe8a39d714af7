// For the walks: a node with its UI and a shop's telemetry, a Chromium, and the checks that every page must pass.
import AxeBuilder from "@axe-core/playwright";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("../..", import.meta.url));
const binary = process.env.TERCET ?? join(root, "build/release/tercet");
const shots = process.env.SHOTS;
const ports = [4317, 4318, 9090, 3200, 7280, 3000];
const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium";

const free = (port) => new Promise((done) => {
  const s = createServer();
  s.once("error", () => done(false));
  s.listen(port, "127.0.0.1", () => s.close(() => done(true)));
});

async function freeOffset() {
  for (let offset = 20000 + (process.pid % 10000); offset < 50000; offset += 13)
    if ((await Promise.all(ports.map((p) => free(p + offset)))).every(Boolean)) return offset;
  throw new Error("no free ports");
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Tries until `check` answers something true, or throws what it threw last. */
export async function until(check, what, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < end) {
    try {
      const v = await check();
      if (v) return v;
    } catch (e) {
      last = e;
    }
    await sleep(100);
  }
  throw new Error(`not within ${seconds} s: ${what}`, { cause: last });
}

/** A running node on ports of its own, with its data in a new folder; settings as "key=value". */
export async function startNode(...settings) {
  const folder = mkdtempSync(join(tmpdir(), "tercet-ui-"));
  const offset = await freeOffset();
  const log = openSync(join(folder, "log"), "a");
  const uiDir = process.env.UI_DIR ? ["--set", `ui.dir=${process.env.UI_DIR}`] : []; // for a build without the UI in it
  const args = ["serve", "--data", join(folder, "data"), "--port-offset", String(offset), "--set", "node.pin=false", ...uiDir, ...settings.flatMap((s) => ["--set", s])];
  const child = spawn(binary, args, { stdio: ["ignore", log, log] });
  const node = {
    offset,
    ui: `http://127.0.0.1:${3000 + offset}`,
    otlp: `http://127.0.0.1:${4318 + offset}`,
    /** as by kill -9 */
    async kill() {
      const gone = new Promise((done) => child.once("exit", done));
      child.kill("SIGKILL");
      await gone;
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGTERM");
        await Promise.race([new Promise((done) => child.once("exit", done)), sleep(10000).then(() => child.kill("SIGKILL"))]);
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await until(async () => {
    if (child.exitCode !== null) throw new Error(readFileSync(join(folder, "log"), "utf8").slice(-2000));
    return (await fetch(`${node.ui}/readyz`)).ok;
  }, "the node is ready");
  return node;
}

/** Sends a synthetic shop (tests/lib/shop.py) and answers its summary. */
export function sendShop(node, ...args) {
  const r = spawnSync("python3", [join(root, "tests/lib/shop.py"), "--endpoint", node.otlp, ...args], { encoding: "utf8" });
  if (r.status !== 0) throw new Error(`shop.py: ${r.stderr}`);
  return JSON.parse(r.stdout.trim().split("\n").at(-1));
}

export async function startBrowser() {
  const profile = mkdtempSync(join(tmpdir(), "tercet-chromium-"));
  const browser = await chromium.launch({
    executablePath: browserPath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", `--crash-dumps-dir=${profile}`],
  });
  return {
    /** A page of its own context. What goes wrong in it (exceptions, CSP, failed loads) is kept in `page.troubles`. */
    async page(options = {}) {
      const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce", ...options });
      const page = await context.newPage();
      page.troubles = [];
      page.on("pageerror", (e) => page.troubles.push(`exception: ${e.message}`));
      page.on("console", (m) => m.type() === "error" && page.troubles.push(`console: ${m.text()}`));
      page.on("dialog", (d) => { page.troubles.push(`dialog: ${d.message()}`); void d.dismiss(); });
      page.setDefaultTimeout(15000);
      return page;
    },
    async stop() {
      await browser.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** Waits until nothing of the page is loading. */
export async function settled(page) {
  await page.waitForFunction(() => !document.querySelector(".progress[data-on]") && document.querySelector("main")?.textContent);
}

/** Breaches of WCAG 2 A and AA, a line each. */
export async function violations(page) {
  const { violations: found } = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]).analyze();
  return found.map((v) => `${v.id}: ${v.help} (${v.nodes.length}): ${v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join(", ")}`);
}

/** Keeps a picture of the page when SHOTS names a folder. */
export async function shot(page, name) {
  if (!shots) return;
  if (!existsSync(shots)) mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`) });
}

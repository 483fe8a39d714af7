/**
 * Visitors of the shop in a real browser: one headless Chromium, one visitor at a time, each with a session of its own.
 * Bounded in time and pace; ends with its browser on SIGTERM. Usage: visit [--url URL] [--every SECONDS] [--hours N]
 * [--sessions N] [--chromium PATH] [--verbose]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium, devices } from 'playwright-core';

const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: process.env.BROWSER_STOREFRONT_URL ?? 'http://localhost:3001' },
    every: { type: 'string', default: '7' }, // seconds from one session's start to the next one's, about
    hours: { type: 'string', default: '4' },
    sessions: { type: 'string', default: 'Infinity' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
    verbose: { type: 'boolean', default: false },
  },
});
const EVERY_S = Math.max(3, Number(options.every));
const END = Date.now() + Math.min(24, Number(options.hours)) * 3_600_000;
const STEP_TIMEOUT_MS = 8000;
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--mute-audio'];
const SCREENS = [
  { ...devices['Desktop Chrome'], weight: 6 },
  { ...devices['Desktop Chrome'], viewport: { width: 1680, height: 1050 }, weight: 2 },
  { ...devices['Pixel 7'], weight: 2 },
];

const random = (least, most) => least + Math.random() * (most - least);
const chance = (share) => Math.random() < share;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const think = () => sleep(random(250, 900));

function pick(choices) {
  let at = Math.random() * choices.reduce((sum, c) => sum + c.weight, 0);
  return choices.find((c) => (at -= c.weight) < 0) ?? choices[0];
}

/** What a visitor may come for. Each is a list of steps on one page. */
const VISITS = [
  { weight: 3, name: 'look around', steps: [home, product, home, product] },
  { weight: 5, name: 'buy', steps: [home, product, addToCart, home, addToCart, cart, checkout, buy] },
  { weight: 1, name: 'give up', steps: [home, addToCart, cart, checkout] },
  { weight: 2, name: 'try the lab', steps: [lab, callBackends, wholeFlow] },
  { weight: 1, name: 'break something', steps: [home, lab, throwError, home] },
];

async function home(page) {
  const brand = page.locator('a.brand');
  if (await brand.count()) await brand.click();
  else await page.goto(options.url);
  await page.locator('.products li').first().waitFor();
}
async function product(page) {
  const cards = page.locator('.products li a');
  await cards.nth(Math.floor(random(0, await cards.count()))).click();
  await page.locator('article.product').waitFor();
  if (chance(0.4)) await page.reload(); // a page load of its own: its vitals belong to this route
}
async function addToCart(page) {
  const buttons = page.getByRole('button', { name: /^Add/ });
  await buttons.nth(Math.floor(random(0, await buttons.count()))).click();
}
async function cart(page) {
  await page.getByRole('link', { name: /^Cart/ }).click();
  await page.locator('table').waitFor();
  if (chance(0.4)) await page.reload();
}
async function checkout(page) {
  await page.getByRole('link', { name: 'Checkout' }).click();
  await page.getByRole('button', { name: 'Buy' }).waitFor();
}
async function buy(page) {
  const { currency } = pick([{ currency: 'EUR', weight: 6 }, { currency: 'USD', weight: 4 }, { currency: 'GBP', weight: 2 }, { currency: 'JPY', weight: 2 }]);
  await page.getByLabel('Pay in').selectOption(currency);
  await page.getByRole('button', { name: 'Buy' }).click();
  await page.locator('.notice').waitFor();
}
async function lab(page) {
  if (page.url().startsWith('http')) await page.getByRole('link', { name: 'Lab' }).click();
  else await page.goto(`${options.url}/lab`);
  await page.locator('.lab').waitFor();
}
async function press(page, name) {
  await page.locator(`.lab [data-otel-name="${name}"]`).click();
  await page.locator('.done li', { hasText: name }).first().waitFor();
}
async function callBackends(page) {
  for (const service of ['catalogue', 'orders', 'payments']) await press(page, `${service} ${chance(0.85) ? 'data' : 'error'}`);
}
async function wholeFlow(page) {
  await press(page, 'whole flow');
}
async function throwError(page) {
  await page.locator(`.lab [data-otel-name="${chance(0.6) ? 'throw' : 'reject'}"]`).click();
  if (chance(0.5)) await page.locator('.lab [data-otel-name="block"]').click();
}

async function session(browser) {
  const visit = pick(VISITS);
  const { weight, ...screen } = pick(SCREENS);
  const context = await browser.newContext({ ...screen, locale: chance(0.7) ? 'en-GB' : 'de-DE' });
  context.setDefaultTimeout(STEP_TIMEOUT_MS);
  const page = await context.newPage();
  try {
    for (const step of visit.steps) {
      if (stopping) break;
      await step(page);
      await think();
    }
    await page.goto('about:blank'); // the page is hidden: it reports its last vitals and sends what it holds
    await sleep(300);
    say(`${visit.name}: done`);
  } catch (error) {
    say(`${visit.name}: ${String(error.message).split('\n')[0]}`); // a fault may be on: the next visitor comes all the same
  } finally {
    await context.close().catch(() => {});
  }
}

function say(what) {
  if (options.verbose) console.log(new Date().toISOString(), what);
}

let stopping = false;
let wake = () => {};
let browser;
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    stopping = true;
    wake();
    void browser?.close(); // whatever the visitor was doing fails, and that ends the session
  });
}

const profile = mkdtempSync(join(tmpdir(), 'shop-visitors-'));
try {
  let left = Number(options.sessions);
  while (!stopping && left > 0 && Date.now() < END) {
    if (!browser?.isConnected()) {
      browser = await chromium.launch({
        executablePath: options.chromium,
        args: FLAGS,
        env: { ...process.env, HOME: profile, TMPDIR: profile },
        handleSIGTERM: false,
        handleSIGINT: false,
      });
      if (stopping) break;
    }
    const next = Date.now() + random(0.7, 1.3) * EVERY_S * 1000;
    await session(browser);
    left--;
    if (stopping || left <= 0) break;
    await new Promise((done) => {
      wake = done;
      setTimeout(done, Math.max(0, next - Date.now())); // woken early by a signal
    });
  }
} finally {
  await browser?.close().catch(() => {});
  rmSync(profile, { recursive: true, force: true });
}

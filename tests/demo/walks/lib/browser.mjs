// What the walks share: a Chromium, patience, the node's APIs, and buying something in the shop.
import assert from 'node:assert/strict';

const { chromium } = await import(process.env.PLAYWRIGHT);
export const { SHOP_URL, UI_URL, DEMO, OUT } = process.env;
export const PATIENCE_MS = 20_000;
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

/** Asks until it does not throw; answers what it answered. */
export async function eventually(what, ask, patience = PATIENCE_MS) {
  const end = Date.now() + patience;
  let last;
  do {
    try {
      return await ask();
    } catch (error) {
      last = error;
      await new Promise((done) => setTimeout(done, 250));
    }
  } while (Date.now() < end);
  throw new Error(`${what}: ${last.message}`, { cause: last });
}

export async function get(path, parameters = {}) {
  const answer = await fetch(`${UI_URL}${path}?${new URLSearchParams(parameters)}`);
  assert.equal(answer.status, 200, `${path} answered ${answer.status}`);
  return answer.json();
}

export async function servicesOf(trace) {
  const { trace: found } = await get(`/tempo/api/v2/traces/${trace}`);
  const names = found.resourceSpans.map((r) => r.resource.attributes.find((a) => a.key === 'service.name').value.stringValue);
  return [...new Set(names)].sort();
}

/** Runs a walk in a browser of its own; where it fails, a picture says where it was. */
export async function walk(name, go) {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS });
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  try {
    await go(page, browser);
  } catch (error) {
    await page.screenshot({ path: `${OUT}/${name}-failed.png` }).catch(() => {});
    throw new Error(`${error.message}\nat ${page.url()}`, { cause: error });
  } finally {
    await browser.close();
  }
}

/** Clicks "Buy" until the card is taken (one in fifty is declined); returns the id of the trace that the last click began. */
export async function buy(page) {
  for (let tries = 0; tries < 5; tries++) {
    const sent = page.waitForRequest((r) => r.url().endsWith('/api/checkout'));
    await page.getByRole('button', { name: 'Buy' }).click();
    const request = await sent;
    if ((await request.response()).ok()) {
      await page.getByRole('status').waitFor();
      return (await request.allHeaders()).traceparent.split('-')[1];
    }
  }
  throw new Error('no card is taken');
}

/** From the shop's first page to a checkout that was paid. */
export async function shop(page) {
  await page.goto(SHOP_URL);
  await page.getByRole('button', { name: 'Add to cart' }).first().click();
  await page.getByRole('link', { name: /^Cart/ }).click();
  await page.getByRole('link', { name: 'Checkout' }).click();
  return buy(page);
}

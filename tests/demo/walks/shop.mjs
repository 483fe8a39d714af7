/**
 * A visitor buys, breaks things, and leaves. What the browser then has told: the click on "Buy" is one trace through all five
 * services; every kind of event is there, under the visitor's session and the page's route; a broken bundle shows as an error.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';

const { chromium } = await import(process.env.PLAYWRIGHT);
const { SHOP_URL, UI_URL, DEMO, OUT } = process.env;
const PATIENCE_MS = 20_000;
const SPAN_ENDS_MS = 400; // the instrumentation of fetch waits 300 ms for the browser's timings, then the span ends
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

async function eventually(what, ask) {
  const end = Date.now() + PATIENCE_MS;
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

async function get(path, parameters = {}) {
  const answer = await fetch(`${UI_URL}${path}?${new URLSearchParams(parameters)}`);
  assert.equal(answer.status, 200, `${path} answered ${answer.status}`);
  return answer.json();
}

async function events(session, query) {
  const found = await get('/quickwit/api/v1/otel-logs-v0_9/search', {
    query: `service_name:storefront-web AND attributes.session.id:${session} AND ${query}`,
    max_hits: 100,
    sort_by: '-timestamp_nanos',
  });
  return found.hits;
}

async function servicesOf(trace) {
  const { trace: found } = await get(`/tempo/api/v2/traces/${trace}`);
  const names = found.resourceSpans.map((r) => r.resource.attributes.find((a) => a.key === 'service.name').value.stringValue);
  return [...new Set(names)].sort();
}

const sessionOf = (page) => page.evaluate(() => JSON.parse(localStorage.getItem('opentelemetry-session')).id);

/** Clicks "Buy" until the card is taken (one in fifty is declined); returns the id of the trace that the last click began. */
async function buy(page) {
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

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS });
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.goto(SHOP_URL);
  await page.screenshot({ path: `${OUT}/shop.png` });
  await page.getByRole('button', { name: 'Add to cart' }).first().click();
  await page.getByRole('link', { name: /^Cart/ }).click();
  await page.getByRole('link', { name: 'Checkout' }).click();
  const trace = await buy(page);
  await page.getByRole('link', { name: 'Lab' }).click();
  await page.locator('[data-otel-name="throw"]').click();
  const session = await sessionOf(page);
  await page.waitForTimeout(SPAN_ENDS_MS);
  await page.goto('about:blank');

  await eventually('the trace of the checkout', async () => {
    assert.deepEqual(await servicesOf(trace), ['catalogue', 'orders', 'payments', 'storefront', 'storefront-web']);
  });
  await eventually('the events of the session', async () => {
    const hits = await events(session, 'event_name:*');
    const names = new Set(hits.map((h) => h.event_name));
    for (const name of ['session.start', 'browser.navigation', 'browser.navigation_timing', 'browser.web_vital', 'browser.user_action.click', 'exception']) {
      assert.ok(names.has(name), `${name} is missing`);
    }
    const vitals = hits.filter((h) => h.event_name === 'browser.web_vital').map((h) => h.attributes);
    for (const route of ['/', '/checkout']) {
      const seen = new Set(vitals.filter((v) => v['url.template'] === route).map((v) => v['browser.web_vital.name']));
      for (const name of ['ttfb', 'fcp', 'lcp', 'cls', 'inp']) assert.ok(seen.has(name), `${name} of ${route} is missing`);
    }
    const paint = vitals.find((v) => v['url.template'] === '/checkout' && v['browser.web_vital.name'] === 'fcp');
    assert.ok(paint['browser.web_vital.value'] > 1500, 'the checkout was quick to paint');
    const thrown = hits.find((h) => h.event_name === 'exception');
    assert.equal(thrown.attributes['exception.type'], 'TypeError');
    assert.equal(thrown.attributes['url.template'], '/lab');
    assert.equal(thrown.severity_text, 'ERROR');
  });

  execFileSync(`${DEMO}/fault`, ['broken-bundle', 'on']);
  try {
    const other = await (await browser.newContext()).newPage();
    await other.goto(`${SHOP_URL}/products/anchor`);
    await other.locator('article.product').waitFor();
    const victim = await sessionOf(other);
    await eventually('the error of the broken bundle', async () => {
      const [hit] = await events(victim, 'event_name:exception');
      assert.match(hit.attributes['exception.stacktrace'], /\/scripts\/recommendations\.js:\d+/);
      assert.equal(hit.attributes['url.template'], '/products/[id]');
    });
  } finally {
    execFileSync(`${DEMO}/fault`, ['broken-bundle', 'off']);
  }
} finally {
  await browser.close();
}

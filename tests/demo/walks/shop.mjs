/**
 * A visitor buys, breaks things, and leaves. What the browser then has told: the click on "Buy" is one trace through all five
 * services; every kind of event is there, under the visitor's session and the page's route; a broken bundle shows as an error.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';

import { DEMO, eventually, get, OUT, servicesOf, shop, SHOP_URL, walk } from './lib/browser.mjs';

const SPAN_ENDS_MS = 400; // the instrumentation of fetch waits 300 ms for the browser's timings, then the span ends

async function events(session, query) {
  const found = await get('/quickwit/api/v1/otel-logs-v0_9/search', {
    query: `service_name:storefront-web AND attributes.session.id:${session} AND ${query}`,
    max_hits: 100,
    sort_by: '-timestamp_nanos',
  });
  return found.hits;
}

const sessionOf = (page) => page.evaluate(() => JSON.parse(localStorage.getItem('opentelemetry-session')).id);

await walk('shop', async (page, browser) => {
  const trace = await shop(page);
  await page.screenshot({ path: `${OUT}/shop.png` });
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
});

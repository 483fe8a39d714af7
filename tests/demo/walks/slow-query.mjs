/** demo/README's first riddle: checkouts are slow. Three clicks from Home to the query that takes the time. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { DEMO, eventually, get, OUT, UI_URL, walk } from './lib/browser.mjs';

const BREAKS_WITHIN_MS = 60_000;

/** Waits until charges take a second and more, so that Home has something to show. */
async function slow() {
  const q = '{ resource.service.name = "payments" && kind = server && duration > 1s }';
  const { traces } = await get('/tempo/api/search', { q, limit: 5 });
  assert.ok(traces.length >= 3, `${traces.length} slow charges so far`);
}

execFileSync(`${DEMO}/fault`, ['slow-query', 'on']);
try {
  await eventually('charges get slow', slow, BREAKS_WITHIN_MS);
  await walk('slow-query', async (page) => {
    await page.goto(`${UI_URL}/?from=now-5m`);
    const home = page.getByRole('table', { name: 'Services' });
    await home.waitFor();
    await page.screenshot({ path: `${OUT}/slow-query-0-home.png` });

    await home.getByRole('link', { name: 'payments', exact: true }).click(); // 1: the slow service
    const operations = page.getByRole('table', { name: 'Operations' });
    await operations.waitFor();
    await page.screenshot({ path: `${OUT}/slow-query-1-service.png` });

    await operations.getByRole('row', { name: /\/charge/ }).getByRole('link').last().click(); // 2: its slow requests
    await page.waitForURL(/\/explore\/traces/);
    const found = page.locator('main').locator('a[href*="/trace/"]');
    await found.first().waitFor();
    await page.screenshot({ path: `${OUT}/slow-query-2-traces.png` });

    await found.first().click(); // 3: one of them
    await page.waitForURL(/\/trace\//);
    // And there it is: the ledger's query takes nearly all of the time, on the critical path.
    await page.getByRole('tab', { name: 'Table' }).click();
    const query = page.getByRole('row', { name: /SELECT entries/ });
    await query.waitFor();
    assert.match(await query.textContent(), /[12]\.\d+ s/);
    await page.getByRole('tab', { name: 'Waterfall' }).click();
    await page.screenshot({ path: `${OUT}/slow-query-3-trace.png` });
  });
} finally {
  execFileSync(`${DEMO}/fault`, ['slow-query', 'off']);
}

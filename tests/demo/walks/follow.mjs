/**
 * A click in the shop, followed through the UI: its trace through all services, the log line of the payment, what payments
 * measures, and from a point of that graph back to a trace. Rust's SDK sends no exemplars: there the way back is a span of
 * the service; without the filter for payments it is an exemplar that another service's SDK sent.
 */
import assert from 'node:assert/strict';
import { eventually, OUT, servicesOf, shop, UI_URL, walk } from './lib/browser.mjs';

const services = ['storefront-web', 'storefront', 'orders', 'catalogue', 'payments'];

await walk('follow', async (page) => {
  const trace = await shop(page);
  await eventually('the whole trace', async () => assert.equal((await servicesOf(trace)).length, services.length));

  await page.goto(`${UI_URL}/trace/${trace}`);
  const main = page.locator('main');
  for (const name of services) await main.getByText(name, { exact: true }).first().waitFor();
  await page.screenshot({ path: `${OUT}/follow-1-trace.png` });

  // The payment's own span, and its log line in the explorer.
  await page.getByRole('tab', { name: /^Logs/ }).click();
  const charged = main.locator('li', { hasText: 'payments' }).filter({ hasText: /charged/ }).first();
  await charged.getByRole('button').click();
  const span = page.getByRole('complementary', { name: 'Span' });
  await span.getByText('payments').first().waitFor();
  await span.getByRole('tab', { name: 'Related' }).click();
  await span.getByRole('link', { name: 'Open in Logs' }).click();
  await page.getByRole('heading', { name: 'Logs', exact: true }).waitFor();
  const line = page.getByRole('button', { name: /charged/ }).first();
  await line.click();
  await page.screenshot({ path: `${OUT}/follow-2-log.png` });

  // What payments measures.
  const panel = page.getByRole('complementary', { name: 'Log line' });
  await panel.getByRole('tab', { name: 'Related' }).click();
  await panel.getByRole('link', { name: /^Its metrics/ }).click();
  await page.getByRole('button', { name: /^http_server_request_duration_seconds/ }).click();
  await page.getByRole('img', { name: /^Graph of/ }).waitFor();
  await page.screenshot({ path: `${OUT}/follow-3-metric.png` });

  // And back to a trace of that service.
  await page.getByRole('tab', { name: /^(Exemplars|Spans)/ }).click();
  await page.getByRole('table').getByRole('link').first().click();
  await page.waitForURL(/\/trace\/[0-9a-f]{32}/);
  await page.locator('main').getByText('payments', { exact: true }).first().waitFor();
  await page.screenshot({ path: `${OUT}/follow-4-trace.png` });

  await page.goBack();
  await page.getByRole('button', { name: 'Remove service.name=payments' }).click();
  await page.getByRole('tab', { name: /^Exemplars/ }).click();
  await page.getByRole('table', { name: 'Exemplars' }).getByRole('link').first().click();
  await page.waitForURL(/\/trace\/[0-9a-f]{32}/);
  await page.locator('main').getByRole('tab', { name: 'Waterfall' }).waitFor();
});

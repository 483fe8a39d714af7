// The Storage page: what takes the space adds up, the tables are found by keyboard, and a name leads to what has it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { sendShop, settled, shot, startBrowser, startNode, until, violations } from "./harness.mjs";

let browser, node;
before(async () => {
  browser = await startBrowser();
  node = await startNode("storage.seal_age=500ms");
  sendShop(node, "--minutes", "20", "--seed", "3");
  await until(async () => (await api()).node.memory.bytes === 0, "all is sealed");
});
after(async () => {
  await node?.stop();
  await browser.stop();
});

const api = async (query = "") => (await fetch(`${node.ui}/api/admin/storage${query}`)).json();

async function open(path = "/storage", options = {}) {
  const page = await browser.page(options);
  await page.goto(node.ui + path);
  await settled(page);
  await page.getByRole("table").waitFor();
  return page;
}

const close = async (page) => {
  assert.deepEqual(page.troubles, []);
  await page.context().close();
};

const names = (page) => page.locator("tbody tr td:first-child").allInnerTexts();

test("the bar, the list and the tables say what the node says", async () => {
  const page = await open();
  const said = await api("?limit=200");
  const bar = await page.locator(".space-bar").getAttribute("aria-label");
  for (const signal of ["Metrics", "Spans", "Logs", "Index of trace ids", "Directories"]) assert.match(bar, new RegExp(signal));
  const shares = [...bar.matchAll(/([\d.]+) %/g)].reduce((n, m) => n + Number(m[1]), 0);
  assert.ok(shares > 98.5 && shares < 101.5, `shares add up to ${shares}`);
  assert.deepEqual((await names(page)).slice(0, 5), said.metrics.top.slice(0, 5).map((m) => m.name));
  await shot(page, "storage-first");
  await close(page);
});

test("tabs by arrow keys, sorting, finding; the URL keeps it all", async () => {
  const page = await open();
  await page.getByRole("tab", { name: "Metrics" }).focus();
  await page.keyboard.press("ArrowRight");
  await page.getByRole("table", { name: "Attributes and fields by size" }).waitFor();
  assert.equal(new URL(page.url()).searchParams.get("tab"), "attributes");
  await page.getByRole("button", { name: "Distinct" }).click();
  await settled(page);
  const said = await api("?limit=200&sort=distinct");
  await until(async () => (await page.locator("tbody tr").first().innerText()).includes(said.columns.top[0].name), "sorted by distinct values");
  await page.getByRole("textbox", { name: "Find by name" }).fill("http.route");
  await until(async () => (await names(page)).every((n) => n.includes("http.route")), "only what is looked for");
  const rows = (await names(page)).length;
  assert.ok(rows > 0);
  await page.reload();
  await settled(page);
  await page.getByRole("table").waitFor();
  assert.equal((await names(page)).length, rows);
  await close(page);
});

test("a metric leads to its graph, an attribute to traces and logs that have it", async () => {
  const page = await open("/storage?find=http_server_request_duration_seconds_count");
  await page.getByRole("link", { name: "http_server_request_duration_seconds_count" }).click();
  await page.waitForURL(/explore\/metrics/);
  await settled(page);
  await page.locator("canvas").first().waitFor();
  await page.goto(`${node.ui}/storage?tab=attributes&find=spans+http.route`);
  await page.getByRole("link", { name: "http.route" }).first().click();
  await page.waitForURL(/explore\/traces/);
  assert.equal(new URL(page.url()).searchParams.get("q"), "{ span.http.route != nil }");
  await settled(page);
  await page.locator(".trace-ticks").first().waitFor();
  await page.goto(`${node.ui}/storage?tab=attributes&find=logs`);
  const log = page.getByRole("link").and(page.locator("tbody a")).first();
  await log.click();
  await page.waitForURL(/explore\/logs/);
  await settled(page);
  assert.match(new URL(page.url()).searchParams.get("q"), /attributes\.[\w.]+:\*$/);
  assert.doesNotMatch(await page.locator("main").innerText(), /cannot be answered/);
  await page.getByText(/^[1-9][\d.]*( k)? lines, newest first/).waitFor();
  await close(page);
});

test("all tenants, retention and deletions are told", async () => {
  await fetch(`${node.ui}/api/retention`, { method: "PUT", body: JSON.stringify({ signal: "logs", age: "30d" }) });
  await fetch(`${node.otlp}/v1/logs`, {
    method: "POST", headers: { "content-type": "application/json", "X-Scope-OrgID": "second" },
    body: JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: [{ timeUnixNano: `${Date.now()}000000`, body: { stringValue: "of another" } }] }] }] }),
  });
  const deleted = await (await fetch(`${node.ui}/api/delete`, { method: "POST", body: JSON.stringify({ signal: "logs", query: "severity_text:WARN" }) })).json();
  assert.equal(deleted.state, "done");
  await until(async () => (await api()).node.segments.parts.other_tenants > 0, "the other tenant is sealed");
  const page = await open("/storage?tab=sets");
  const facts = await page.locator(".facts").innerText();
  assert.match(facts, /Logs\s+30 d\s/);
  assert.match(facts, /Rows marked\s+\d/);
  assert.match(await page.locator(".space-bar").getAttribute("aria-label"), /Other tenants/);
  await page.getByRole("checkbox", { name: "All tenants" }).check();
  await until(async () => (await page.locator("tbody").innerText()).includes("second"), "the other tenant's rows");
  await close(page);
});

test("growth is drawn where somebody collects the node's metrics", async () => {
  const page = await open();
  assert.equal(await page.getByRole("heading", { name: "Growth" }).count(), 0);
  await close(page);
  const now = Math.floor(Date.now() / 1000);
  const points = Array.from({ length: 40 }, (_, i) => ({ timeUnixNano: `${now - i * 15}000000000`, asDouble: 1e6 * (60 - i) }));
  const metrics = ["tercet_segment_bytes", "tercet_memtable_bytes"].map((name) => ({ name, gauge: { dataPoints: points } }));
  const a = await fetch(`${node.otlp}/v1/metrics`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] }) });
  assert.equal(a.status, 200);
  const drawn = await open();
  await drawn.getByRole("heading", { name: "Growth" }).waitFor();
  await drawn.locator("canvas").first().waitFor();
  await drawn.getByRole("heading", { name: "Growth" }).scrollIntoViewIfNeeded();
  await shot(drawn, "storage-growth");
  assert.deepEqual(await violations(drawn), []);
  await close(drawn);
});

for (const colorScheme of ["dark", "light"])
  test(`no breach of WCAG AA in any tab, ${colorScheme}; narrow too`, async () => {
    for (const tab of ["metrics", "attributes", "labels", "sets"]) {
      const page = await open(`/storage?tab=${tab}`, { colorScheme });
      assert.deepEqual(await violations(page), [], tab);
      await shot(page, `storage-${tab}-${colorScheme}`);
      await close(page);
    }
    const page = await open("/storage", { colorScheme, viewport: { width: 760, height: 900 } });
    assert.ok(await page.evaluate(() => document.querySelector(".main").scrollWidth <= document.querySelector(".main").clientWidth + 1), "nothing is cut at the side");
    await shot(page, `storage-narrow-${colorScheme}`);
    await close(page);
  });

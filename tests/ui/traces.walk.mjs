// From "something is wrong" to the span that failed: the traces explorer and the Trace page, by mouse and by keys, with a
// shop's traces and with hostile ones.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { sendShop, settled, startBrowser, startNode, until, violations } from "./harness.mjs";

let browser, node, summary, page;
before(async () => {
  browser = await startBrowser();
  node = await startNode();
  summary = sendShop(node, "--minutes", "20", "--seed", "1", "--hostile");
});
after(async () => { await browser?.stop(); await node?.stop(); });

const open = async (path) => {
  await page?.context().close();
  page = await browser.page({ acceptDownloads: true });
  await page.goto(node.ui + path);
  await settled(page);
};
const q = () => new URL(page.url()).searchParams.get("q");
const rows = () => page.locator(".traces-list .virtual-list .trace-line");
const text = (selector) => page.locator(selector).first().innerText();
const sound = async () => {
  assert.equal(await page.evaluate(() => window.hurt), undefined, "markup of the data ran");
  assert.deepEqual(page.troubles, []);
};

describe("the traces explorer", () => {
  test("the form writes TraceQL, TraceQL fills the form", async () => {
    await open("/explore/traces?from=now-1h");
    await rows().first().waitFor();
    await page.getByLabel("Service", { exact: true }).fill("payments");
    await page.getByLabel("Service", { exact: true }).press("Enter");
    await page.getByLabel("Status").selectOption("error");
    await until(() => q() === '{ resource.service.name = "payments" && status = error }', "the query in the URL");
    await settled(page);
    await until(async () => (await rows().count()) > 0, "traces with failed payments");
    for (const row of await rows().all()) assert.match(await row.innerText(), /\n\d+\n/, "each has errors");
    await page.locator(".cm-content").click();
    await page.keyboard.press("Control+a");
    await page.keyboard.insertText('{ name = "POST /charge" && duration >= 1s }');
    await page.keyboard.press("Control+Enter");
    await until(async () => (await page.getByLabel("Operation").inputValue()) === "POST /charge", "the form reads the text");
    assert.equal(await page.getByLabel("At least").inputValue(), "1s");
    assert.equal(await page.getByLabel("Service", { exact: true }).inputValue(), "");
    await page.goBack();
    await until(() => q() === '{ resource.service.name = "payments" && status = error }', "Back is the query before");
    await sound();
  });

  test("a number typed as an attribute finds numbers; the filter bar's terms are shown", async () => {
    await open("/explore/traces?from=now-1h&f=service.name%3Dorders");
    await page.getByRole("button", { name: "Attribute", exact: true }).click();
    await page.getByRole("combobox", { name: "Attribute 1", exact: true }).fill("http.response.status_code");
    await page.getByRole("combobox", { name: "Attribute 1", exact: true }).press("Enter");
    await page.getByLabel("Value of attribute 1").fill("502");
    await page.getByLabel("Value of attribute 1").press("Enter");
    await until(() => q()?.includes("= 502 ||"), "the condition in the query");
    await settled(page);
    await until(async () => (await rows().count()) > 0, "traces that answered 502");
    assert.match(await text(".traces-query code"), /resource\.service\.name = "orders" && \(span\.http\.response\.status_code = 502/);
    await sound();
  });

  test("what is wrong in TraceQL is marked where it is", async () => {
    await open("/explore/traces?from=now-1h&q=" + encodeURIComponent("{ status = error && }"));
    await page.locator(".query-error-mark").waitFor();
    assert.equal(await text(".query-error-mark"), "}");
    assert.match(await text(".query-error"), /col 21/);
    assert.match(await text(".trace-form"), /more than the form can show/);
    assert.deepEqual(await violations(page), []);
  });

  test("a box over the durations narrows time and duration", async () => {
    await open("/explore/traces?from=now-1h");
    const plot = page.locator(".heat-plot canvas");
    await plot.waitFor();
    const box = await plot.boundingBox();
    await page.mouse.move(box.x + box.width * 0.7, box.y + 2);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.99, box.y + box.height * 0.4, { steps: 4 });
    await page.mouse.up();
    await until(() => /duration >= \d/.test(q() ?? ""), "the duration in the query");
    const { searchParams } = new URL(page.url());
    const length = (Number(searchParams.get("to")) - Number(searchParams.get("from"))) / 1000;
    assert.ok(Math.abs(length - 0.29 * 3600) < 60, `29 % of an hour, not ${length} s`);
    await sound();
  });

  test("the slowest are the slowest of all", async () => {
    await open("/explore/traces?from=now-1h&sort=slowest");
    await rows().first().waitFor();
    const found = await (await fetch(`${node.ui}/tempo/api/search?limit=5000&q=${encodeURIComponent("{ duration > 2s }")}`)).json();
    const longest = Math.max(...found.traces.map((t) => t.durationMs));
    const first = await rows().first().locator(".trace-length .number").innerText();
    assert.equal(Math.round(Number.parseFloat(first) * 10), Math.round(longest / 100), `${first} is ${longest} ms`);
  });

  test("a trace's id in place of a query leads to the trace", async () => {
    await open("/explore/traces?from=now-1h");
    await page.locator(".cm-content").click();
    await page.keyboard.insertText(summary.failed[0]);
    await page.keyboard.press("Control+Enter");
    await page.locator(".wf-row").first().waitFor();
    assert.ok(page.url().includes(`/trace/${summary.failed[0]}`));
    await sound();
  });

  test("keys open a trace's panel, and the trace", async () => {
    await open("/explore/traces?from=now-1h&q=" + encodeURIComponent('{ name = "POST /api/checkout" }'));
    await rows().first().waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    const panel = page.getByRole("complementary", { name: "Trace" });
    assert.match(await panel.innerText(), /matching span/);
    assert.deepEqual(await violations(page), []);
    await page.getByRole("tab", { name: "Related" }).click();
    await until(async () => /Logs\s+\d/.test(await panel.innerText()), "the trace's logs are counted");
    assert.deepEqual(await violations(page), []);
    await page.getByRole("tab", { name: "Raw" }).click();
    assert.match(await panel.innerText(), /"traceID"/);
    await page.keyboard.press("o");
    await page.locator(".wf-row").first().waitFor();
    assert.match(page.url(), /\/trace\/[0-9a-f]{32}/);
    await sound();
  });
});

describe("the Trace page", () => {
  test("leads to what failed: the exception, its logs, the way back", async () => {
    await open(`/trace/${summary.failed[0]}`);
    assert.match(await text(".trace-facts"), /Errors\s*7/);
    await page.getByTitle("Go to the next error").click();
    const panel = page.getByRole("complementary", { name: "Span" });
    await panel.waitFor();
    const spans = page.locator(".wf-row");
    assert.equal(await spans.count(), Number((await text(".trace-facts")).match(/Spans\s*(\d+)/)[1]));
    await spans.filter({ hasText: "executing api route" }).click();
    assert.match(await panel.innerText(), /orders answered 502[\s\S]*route\.ts:31/);
    assert.ok(await page.locator('.log-dot[data-severity="error"]').count() >= 3, "logs are dots on the bars");
    assert.ok(await page.locator(".wf-path").count() > 5, "the critical path is drawn");
    assert.deepEqual(await violations(page), []);
    const link = page.url();
    await page.keyboard.press("Escape");
    await panel.waitFor({ state: "detached" });
    await open(link.replace(node.ui, ""));
    assert.match(await page.getByRole("complementary", { name: "Span" }).innerText(), /executing api route/);
    await page.getByRole("tab", { name: "Related" }).click();
    await page.getByRole("link", { name: "At least as slow" }).waitFor();
    await until(async () => /Metrics around it \d+[\s\S]*_seconds/.test(await page.getByRole("complementary", { name: "Span" }).innerText()), "metrics around it");
    assert.deepEqual(await violations(page), []);
    await sound();
  });

  test("keys: collapse, expand, find, next match, look closer", async () => {
    await open(`/trace/${summary.failed[0]}`);
    const spans = page.locator(".wf-row");
    const all = await spans.count();
    await page.keyboard.press("[");
    await until(async () => (await spans.count()) < all, "collapsed");
    await page.keyboard.press("]");
    await until(async () => (await spans.count()) === all, "expanded");
    await page.keyboard.press("Control+b");
    await page.keyboard.type("select products");
    await until(async () => (await text(".find-count")) === "1 of 2", "two matches");
    await page.keyboard.press("Escape");
    await page.keyboard.press("n");
    await until(async () => (await text(".find-count")) === "2 of 2", "the next match");
    await page.keyboard.press("+");
    await until(() => page.url().includes("at="), "the stretch in the URL");
    await page.keyboard.press("0");
    await until(() => !page.url().includes("at="), "the whole trace");
    await sound();
  });

  test("flame graph, table, logs and the JSON", async () => {
    await open(`/trace/${summary.failed[0]}?view=flame`);
    await page.locator(".flame-scroll").focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    assert.match(await text(".flame-says"), /: /);
    await page.getByRole("tab", { name: "Table" }).click();
    assert.match(await page.getByRole("table", { name: "Operations" }).innerText(), /SELECT products[\s\S]*2/);
    assert.deepEqual(await violations(page), []);
    await page.getByRole("tab", { name: /^Logs/ }).click();
    const lines = page.locator(".trace-log");
    const said = Number((await text(".trace-header .button")).match(/Logs (\d+)/)[1]);
    assert.ok(said >= 5 && said < 30, `${said} lines`);
    await until(async () => (await lines.count()) === said, "all lines");
    await lines.filter({ hasText: "card declined for order" }).getByRole("button").click();
    assert.match(await page.getByRole("complementary", { name: "Span" }).innerText(), /POST \/charge/);
    assert.deepEqual(await violations(page), []);
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download JSON" }).click()]);
    const json = JSON.parse(readFileSync(await download.path(), "utf8"));
    assert.ok(json.resourceSpans.length >= 4);
    await sound();
  });

  test("hostile traces are shown whole", async () => {
    for (const id of [...summary.hostile.slice(0, 6), ...summary.large]) {
      await open(`/trace/${id}`);
      await page.locator(".wf-row").first().waitFor();
      await page.locator(".wf-row").last().click();
      await page.getByRole("tab", { name: "Raw" }).click();
      for (const view of ["Flame graph", "Table"]) await page.getByRole("tab", { name: view }).click();
      await sound();
    }
    await open("/trace/0123456789abcdef0123456789abcdef");
    assert.match(await text("main"), /No span of this trace is stored/);
  });
});

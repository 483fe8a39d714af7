// Every page, in both themes, with a shop's data, with hostile data and with none: it draws, nothing goes wrong in the
// browser's console, axe finds no breach of WCAG AA, no markup of the data becomes markup of the page.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { sendShop, settled, shot, startBrowser, startNode, violations } from "./harness.mjs";

let browser;
before(async () => { browser = await startBrowser(); });
after(() => browser.stop());

/** The pages, for a node that holds what `summary` tells. */
function pages(summary) {
  const trace = summary?.hostile[0] ?? summary?.checkouts[0] ?? "0123456789abcdef0123456789abcdef";
  const session = summary?.sessions[0] ?? "none";
  return {
    home: "/",
    metrics: "/explore/metrics",
    "metrics-query": "/explore/metrics?q=" + encodeURIComponent("sum by (job) (rate(http_server_request_duration_seconds_count[1m]))"),
    logs: "/explore/logs",
    traces: "/explore/traces",
    trace: `/trace/${trace}`,
    services: "/services",
    service: "/services/orders",
    rum: "/rum",
    session: `/rum/sessions/${session}`,
    storage: "/storage",
    cluster: "/cluster",
    "storage-attributes": "/storage?tab=attributes&sort=distinct",
  };
}

async function check(node, name, path, theme) {
  const page = await browser.page({ colorScheme: theme });
  try {
    await page.goto(node.ui + path);
    await settled(page);
    await shot(page, `${name}-${theme}`);
    assert.deepEqual(await violations(page), [], `axe on ${path} (${theme})`);
    assert.equal(await page.evaluate(() => window.hurt), undefined, "markup of the data ran");
    // A trace or session that is not there is answered with 404, which the browser logs by itself.
    const troubles = page.troubles.filter((t) => !/status of 404/.test(t));
    assert.deepEqual(troubles, [], `troubles on ${path}`);
  } finally {
    await page.context().close();
  }
}

for (const [kind, args] of [["shop", ["--minutes", "20", "--seed", "1"]], ["hostile", ["--minutes", "5", "--seed", "2", "--hostile"]], ["empty", null]])
  describe(`a node with ${kind} data`, () => {
    let node, summary;
    before(async () => {
      node = await startNode("storage.seal_age=2s");
      if (args) summary = sendShop(node, ...args);
    });
    after(() => node.stop());
    for (const name of Object.keys(pages()))
      for (const theme of kind === "shop" ? ["dark", "light"] : ["dark"])
        test(`${name}, ${theme}`, () => check(node, `${kind}-${name}`, pages(summary)[name], theme));
  });

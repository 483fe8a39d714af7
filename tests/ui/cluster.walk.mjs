// The Cluster page and the banners of all pages: three nodes, one of them killed.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { sendShop, settled, shot, startBrowser, startNode, until, violations } from "./harness.mjs";

let browser, nodes = [];
before(async () => {
  browser = await startBrowser();
  const small = ["storage.ballast=16MiB", "node.cores=1"];
  nodes = [await startNode(...small)];
  for (const zone of ["b", "c"]) nodes.push(await startNode(...small, `cluster.zone=${zone}`, `cluster.join=127.0.0.1:${7946 + nodes[0].offset}`));
  await until(async () => (await members(nodes[0])).length === 3, "three members");
  sendShop(nodes[0], "--minutes", "5", "--seed", "4");
});
after(async () => {
  for (const n of nodes) await n.stop();
  await browser.stop();
});

const members = async (n) => (await (await fetch(`${n.ui}/api/cluster`)).json()).members;

async function open(node, path = "/cluster", options = {}) {
  const page = await browser.page(options);
  await page.goto(node.ui + path);
  await settled(page);
  return page;
}

const close = async (page) => {
  assert.deepEqual(page.troubles, []);
  await page.context().close();
};

const rows = (page, table) => page.getByRole("table", { name: table }).locator("tbody tr").allInnerTexts();
const check = async (page, name) => {
  assert.deepEqual(await violations(page), [], name);
  await shot(page, name);
};

test("every node shows all members and who has how much", async () => {
  for (const node of nodes) {
    const page = await open(node);
    await page.getByText("all 3 nodes alive and equal").waitFor();
    const said = await rows(page, "Members of the cluster");
    assert.equal(said.length, 3);
    assert.equal(said.filter((t) => t.includes("this node")).length, 1);
    const streams = await rows(page, "Streams and who has how much");
    assert.ok(streams.some((t) => (t.match(/100 %/g) ?? []).length === 3), streams.join("; "));
    assert.equal(await page.locator(".banner").count(), 0);
    await close(page);
  }
});

test("a member's id leads to its own UI; a column sorts, and the URL keeps it", async () => {
  const page = await open(nodes[0]);
  await page.getByRole("button", { name: "Zone" }).click();
  assert.equal(new URL(page.url()).searchParams.get("sort"), "zone");
  const links = page.getByRole("table", { name: "Members of the cluster" }).getByRole("link");
  assert.equal(await links.count(), 2);
  assert.equal(await links.last().getAttribute("href"), `${nodes[2].ui}/`);
  await page.keyboard.press("g");
  await page.keyboard.press("h");
  await page.waitForURL((u) => u.pathname === "/");
  await page.keyboard.press("g");
  await page.keyboard.press("c");
  await page.waitForURL(/\/cluster/);
  await close(page);
});

for (const colorScheme of ["dark", "light"])
  test(`all is well, ${colorScheme}; narrow too`, async () => {
    const page = await open(nodes[0], "/cluster", { colorScheme });
    await check(page, `cluster-well-${colorScheme}`);
    await close(page);
    const narrow = await open(nodes[0], "/cluster", { colorScheme, viewport: { width: 760, height: 900 } });
    assert.ok(await narrow.evaluate(() => document.querySelector(".main").scrollWidth <= document.querySelector(".main").clientWidth + 1), "nothing is cut at the side");
    await check(narrow, `cluster-narrow-${colorScheme}`);
    await close(narrow);
  });

test("one is killed: a banner on every page leads to the Cluster page, and queries go on", async () => {
  await nodes[2].kill();
  await until(async () => (await members(nodes[0])).some((m) => m.state === "dead"), "it is dead", 60);
  for (const path of ["/", "/explore/logs", "/storage"]) {
    const page = await open(nodes[0], path);
    await page.getByText("1 of 3 nodes does not answer").waitFor();
    assert.equal(await page.getByText(/cannot be answered/).count(), 0);
    await page.locator(".banner").getByRole("link").click();
    await page.waitForURL(/\/cluster/);
    await close(page);
  }
  for (const colorScheme of ["dark", "light"]) {
    const page = await open(nodes[1], "/cluster", { colorScheme });
    await page.getByText("2 of 3 nodes alive").waitFor();
    const said = await rows(page, "Members of the cluster");
    assert.match(said[0], /dead/, "the worst is first");
    await page.getByText("no answer").first().waitFor();
    await check(page, `cluster-dead-${colorScheme}`);
    await close(page);
  }
});

test("a page that is open sees the other go too, without a reload", async () => {
  const page = await open(nodes[0]);
  await nodes[1].kill();
  await page.getByText("1 of 3 nodes alive").waitFor({ timeout: 60000 });
  await page.goto(`${nodes[0].ui}/`);
  await page.getByText("Too few nodes are left for writes").waitFor({ timeout: 60000 }); // asked for every 15 s
  await page.getByText("Answers may be incomplete").waitFor();
  await check(page, "cluster-two-dead");
  await close(page);
});

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { openCapture } from '../../../src/capture/format/open.ts';
import { attempt } from '../../../src/lab/command.ts';
import type { Lab, Node } from '../../../src/lab/topology.ts';
import { PATIENCE_MS, until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor, type TestAgent } from '../../fixtures/agents/agents.ts';
import { configurationOf, MAIN, runCommand } from '../../fixtures/agents/run-node.ts';
import { browserIn, faultsOf, hurdlesOf } from '../../fixtures/browser.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/* The page of an agent in a real browser, on three nodes with traffic and faults. UPDATE_DOCS=1 keeps the pictures. */

const skip = skipUnless('root', 'netns', 'tun', 'nft', 'ip', 'ping', 'iperf3', 'tcpdump', 'chromium');

/** Where pictures for the documentation go. */
const PICTURES = join(CHECKOUT, 'docs/images');

async function cluster(owner: Parameters<typeof labFor>[0]): Promise<{ lab: Lab; agents: TestAgent[] }> {
  const lab = labFor(owner, { nodes: 3 });
  const store = fileStoreFor(owner);
  const { agents } = agentsFor(owner, lab, [...store.flags, '--probe-interval=1']);
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.start();
  }
  await Promise.all(agents.map(agent => agent.ready(2)));
  return { lab, agents };
}

/** Traffic to both peers, and frames that are lost for two reasons, until the lab is removed. */
function traffic({ nodes }: Lab): void {
  const [one, two, three] = nodes.map(node => node.pods[0]!);
  for (const [pod, rate] of [
    [two!, '40M'],
    [three!, '3M'],
  ] as const) {
    pod.ns.launch(['iperf3', '-s']);
    const client = [
      'iperf3',
      '-c',
      pod.address[4],
      '-t',
      '120',
      '-b',
      rate,
      ...(rate === '3M' ? ['-R'] : []),
    ];
    one!.ns.launch(['sh', '-c', `until ${client.join(' ')}; do sleep 0.2; done`]);
  }
  two!.ns.ip('addr add 10.99.0.1/32 dev eth0');
  two!.ns.launch(['ping', '-q', '-i', '0.05', '-I', '10.99.0.1', one!.address[4]]);
  one!.ns.launch(['ping', '-q', '-i', '0.2', '10.244.77.7']);
}

const picture = async (page: Page, name: string) => {
  if (process.env.UPDATE_DOCS !== '1') return;
  mkdirSync(PICTURES, { recursive: true });
  const path = join(PICTURES, `${name}.png`);
  await page.evaluate('scrollTo(0, 0)');
  await page.screenshot({ path, fullPage: true });
  shrink(path);
};

/** To a third of the size where the tool is there; the page has few colours. */
const shrink = (path: string) =>
  attempt(['pngquant', '--force', '--strip', '--speed', '1', '--output', path, path]);

/** Cells of tables that end beyond the edge of the page or of what they scroll in. */
const hiddenCells = (page: Page) =>
  page.evaluate(`[...document.querySelectorAll('.scroll :is(th, td)')]
    .filter(cell => cell.closest('thead') === null)
    .filter(cell => cell.getBoundingClientRect().right > cell.closest('.scroll').getBoundingClientRect().right + 1)
    .map(cell => cell.textContent)`);

/** The ways by which a token can be lost: fragments of the page, a wrong link, reload, the back button. */
async function keepsItsUser(page: Page, origin: string): Promise<void> {
  const works = async () => {
    await page.getByText(/^[0-2]s old$/).waitFor();
    await page.getByText('ready: packets can flow').waitFor();
  };
  await page.getByRole('link', { name: 'Skip to the capture' }).focus();
  await page.keyboard.press('Enter');
  await page.waitForFunction('document.activeElement.id === "capture"');
  await page.reload();
  await works();
  await page.goto(`${origin}/#token=0123456789abcdef`);
  await page.waitForFunction('location.hash === ""');
  await works();
  await page.reload();
  await works();
  await page.goBack();
  await works();
  await page.goForward();
  await works();
}

t.test('the page shows links, drops and packets, by keyboard alone', { skip }, async t => {
  const { lab, agents } = await cluster(t);
  const [node] = lab.nodes;
  traffic(lab);
  const link = node!.ns.must([process.execPath, MAIN, 'ui', '--socket', agents[0]!.socket]).trim();
  t.match(link, /^http:\/\/127\.0\.0\.1:8473\/#token=[\w-]{32}$/);
  const { origin } = new URL(link);
  const context = await browserIn(t, node!.ns, { acceptDownloads: true });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const faults = faultsOf(page, origin);
  await page.goto(link);

  await page.getByText('ready: packets can flow').waitFor();
  t.equal(page.url(), `${origin}/`, 'the token leaves the address');
  await page.getByRole('button', { name: /^node2 172\.31\.0\.2 sending .*Mbit\/s/ }).waitFor();
  const node3 = page.getByRole('button', { name: /^node3 .* 0 % loss · [\d.]+(us|ms)/ });
  await node3.waitFor();
  await page.getByRole('region', { name: 'Drops by reason' }).getByText('spoofed-source').first().waitFor();
  // The picture for the documentation is to show curves: as many samples as these.
  for (let left = 60; process.env.UPDATE_DOCS === '1' && left > 0; left--)
    await new Promise(done => setTimeout(done, 500));

  // A peer that is chosen on the map is chosen in the flows and for the capture.
  await node3.focus();
  await page.keyboard.press('Enter');
  t.equal(await page.getByRole('combobox', { name: /^Peer/ }).inputValue(), '10.244.3.0-24');
  const flows = page.getByRole('region', { name: /^Top flows/ });
  await flows
    .getByText(/10\.244\.3\.2/)
    .first()
    .waitFor();
  t.equal(await flows.getByText(/10\.244\.2\.2/).count(), 0);
  await page.keyboard.press('Enter');
  const moment = page.getByRole('slider', { name: 'Drops: moment to read' });
  await moment.focus();
  await until('a moment before the newest that names spoofed-source', async () => {
    await page.keyboard.press('End');
    await page.keyboard.press('ArrowLeft');
    const text = (await moment.getAttribute('aria-valuetext')) ?? '';
    return /^\d\d:\d\d:\d\d: .*spoofed-source [\d.]+\/s/.test(text);
  });

  await page.getByLabel('Filter').fill('tcp prot 80');
  await page.keyboard.press('Enter');
  await page
    .getByRole('alert')
    .getByText(/syntax error/)
    .waitFor();
  // More packets than come in before it is stopped.
  await page.getByRole('combobox', { name: /^End after/ }).selectOption('10000');
  await page.getByLabel('Filter').fill('');
  await page.getByLabel('Filter').focus();
  await page.keyboard.type('icmp or tcp port 5201');
  await page.keyboard.press('Enter');
  const grid = page.getByRole('grid', { name: 'Captured packets' });
  await grid.getByRole('row').nth(20).waitFor();
  await page.getByRole('button', { name: 'Stop' }).focus();
  await page.keyboard.press('Enter');
  await page.getByText(/· stopped/).waitFor();
  await grid.focus();
  await page.keyboard.press('Home');
  for (let row = 0; row < 3; row++) await page.keyboard.press('ArrowDown');
  t.equal(await grid.getAttribute('aria-activedescendant'), 'packet-4');
  t.match(await page.getByRole('region', { name: 'Packet 4' }).textContent(), /IPv4.*10\.244\./);
  t.same(await hurdlesOf(page), [], 'light');
  await picture(page, 'page-light');
  await page.emulateMedia({ colorScheme: 'dark' });
  t.same(await hurdlesOf(page), [], 'dark');
  await picture(page, 'page-dark');
  await page.setViewportSize({ width: 400, height: 800 });
  // The map takes its new width one frame after the window.
  await page.waitForFunction('document.documentElement.scrollWidth === 400');
  t.same(await hiddenCells(page), [], 'no cell of a table is beyond the edge');
  t.same(await hurdlesOf(page), [], 'narrow');
  await picture(page, 'page-narrow');

  await page.setViewportSize({ width: 1280, height: 900 });
  if (process.env.UPDATE_DOCS === '1') {
    // As the VNI of fault 3 has it: the underlay answers, the tunnel does not.
    const [, , three] = lab.nodes;
    three!.ns.must(
      ['nft', '-f', '-'],
      'table ip broken { chain in { type filter hook input priority 0; udp dport 8472 drop; }; }',
    );
    await page.getByText('100 % loss in the tunnel only').waitFor();
    const map = page.getByRole('region', { name: 'Links' });
    await map.screenshot({ path: join(PICTURES, 'page-fault.png') });
    shrink(join(PICTURES, 'page-fault.png'));
  }

  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download pcapng' }).press('Enter'),
  ]);
  const file = await download.path();
  const capture = await openCapture(file);
  t.ok(capture, `${readFileSync(file).length} bytes of pcapng`);
  // The browser itself notes the one refusal that was provoked.
  t.same(faults, { foreign: [], said: faults.said.filter(line => / 400 \(/.test(line)).slice(0, 1) });

  const stranger = await context.newPage();
  await stranger.goto(origin);
  await stranger.getByLabel('Link or token').fill('0123456789abcdef');
  await stranger.keyboard.press('Enter');
  await stranger
    .getByRole('alert')
    .getByText(/Wrong token/)
    .waitFor();
  t.same(await hurdlesOf(stranger), [], 'the prompt');
  await stranger.getByLabel('Link or token').fill(link);
  await stranger.keyboard.press('Enter');
  await stranger.getByText('ready: packets can flow').waitFor();
  await stranger.close();

  await t.test('nothing locks its user out', () => keepsItsUser(page, origin));
  await t.test('a node that hangs is not shown as ready, and a new link works in the same tab', async t => {
    const agent = agents[0]!;
    await page.getByText(/^\ds old$/).waitFor();
    agent.signal('SIGSTOP');
    await page.getByText('the node does not answer').first().waitFor();
    await page.getByText(/^last answer \d+s ago$/).waitFor();
    t.equal(await page.getByText('ready: packets can flow').count(), 0);
    t.same(await hurdlesOf(page), [], 'stale');
    agent.signal('SIGCONT');
    await page.getByText('ready: packets can flow').waitFor();

    await agent.stop();
    await page.getByText('the node does not answer').first().waitFor();
    agent.start();
    await agent.ready(2);
    await page
      .getByRole('alert')
      .getByText(/Wrong token/)
      .waitFor();
    const next = node!.ns.must([process.execPath, MAIN, 'ui', '--socket', agent.socket]).trim();
    t.not(next, link);
    await page.goto(next);
    await page.getByText('ready: packets can flow').waitFor();
    t.equal(page.url(), `${origin}/`, 'the token leaves the address here too');
  });
});

t.test('node of `ripstop run`: has it too, and without a token listens nowhere else', { skip }, async t => {
  const { nodes } = labFor(t);
  const [one, two] = nodes as [Node, Node];
  const folder = mkdtempSync(join(tmpdir(), 'rs-page-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'node.yaml');
  const socket = join(folder, 's', 'agent.sock');
  writeFileSync(file, JSON.stringify(configurationOf(one, [two])));
  const run = runCommand(file, join(folder, 's'));
  const refused = one.ns.attempt([...run, '--web-port=8473', '--web-ip=0.0.0.0']);
  t.equal(refused.code, 2);
  t.match(refused.stderr, /the web UI needs a token file to listen on 0\.0\.0\.0; .*--web-token-file/);

  await one.ns.launch([...run, '--web-port=8473']).saying(/"ready":true/);
  const link = one.ns.must([process.execPath, MAIN, 'ui', '--socket', socket]).trim();
  const [origin, token] = link.split('/#token=');
  const view = (bearer: string) =>
    one.ns.must([
      process.execPath,
      '-e',
      `fetch('${origin}/api/view', { headers: { authorization: 'Bearer ${bearer}' } }).then(async r => console.log(r.status, await r.text()))`,
    ]);
  t.match(view(token!), /^200 .*"peers":\[\{"id":"node2",.*"address":"172\.31\.0\.2",.*"name":"node2"/);
  t.match(view('0123456789abcdef'), /^401 /);
});

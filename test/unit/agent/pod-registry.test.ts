import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { PodRegistry } from '../../../src/agent/pod-registry.ts';
import { podText } from '../../../src/capture/live/pods.ts';
import { until } from '../../../src/lab/until.ts';

const WEB = { namespace: 'default', name: 'web-1' };
const DNS = { namespace: 'kube-system', name: 'dns.0' };
const place = { netns: '/proc/self/ns/net', hostLinks: ['lo'] };
const first = { network: 'pods', containerId: 'c1', ifname: 'eth0', ...place };
const second = { network: 'pods', containerId: 'c2', ifname: 'eth0', ...place };

const opened: PodRegistry[] = [];

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'rs-pods-'));
  t.teardown(async () => {
    // A write that ends later would make the folder again.
    await Promise.all(opened.splice(0).map(pods => pods.flush()));
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

function open(folder: string, said: string[] = []): PodRegistry {
  const pods = new PodRegistry(folder, text => said.push(text));
  opened.push(pods);
  return pods;
}

const namesOf = (pods: PodRegistry) =>
  pods.all.flatMap(({ until, address, ...pod }) => (until === null ? [`${address} ${podText(pod)}`] : []));
const nameAt = (pods: PodRegistry, address: string) => pods.names.at(address, Date.now());
/** Lets the clock advance, so that what comes has a time of its own. */
function tick(): Promise<unknown> {
  const now = Date.now();
  return until('a later time', () => Date.now() !== now);
}

t.test('an address is of a pod from ADD until DEL of the same attachment', async t => {
  const pods = open(folderOf(t));
  pods.attached(first, ['10.244.1.5', 'fd00::5'], WEB);
  pods.attached(second, ['10.244.1.6'], DNS);
  t.equal(nameAt(pods, 'fd00::5'), 'default/web-1');
  const { version } = pods;
  pods.detached({ ...first, network: 'other' });
  pods.detached({ ...first, ifname: 'net1' });
  t.equal(pods.version, version, 'other attachments of the container');
  pods.detached(first);
  t.strictSame(namesOf(pods), ['10.244.1.6 kube-system/dns.0']);
  t.not(pods.version, version);
  await tick();
  t.equal(nameAt(pods, '10.244.1.5'), null);
});

t.test('a newer owner of an address keeps it when the DEL of the former one comes late', async t => {
  const pods = open(folderOf(t));
  pods.attached(first, ['10.244.1.5'], WEB);
  await tick();
  pods.attached(second, ['10.244.1.5'], DNS);
  pods.detached(first);
  await tick();
  t.equal(nameAt(pods, '10.244.1.5'), 'kube-system/dns.0');
  pods.attached(first, ['10.244.1.5'], undefined);
  await tick();
  t.equal(nameAt(pods, '10.244.1.5'), null, 'a container that is no pod');
});

t.test('an address that is used again has the pod of each time, also in the next start', async t => {
  const folder = folderOf(t);
  const pods = open(folder);
  const announced: (readonly string[])[] = [];
  pods.observe(addresses => announced.push(addresses));
  pods.attached(first, ['10.244.1.5'], WEB);
  await tick();
  const former = Date.now();
  pods.attached(first, ['10.244.1.5'], WEB);
  t.equal(pods.all.length, 1, 'the next plugin of a chain');
  await tick();
  pods.detached(first);
  await tick();
  const between = Date.now();
  await tick();
  pods.attached(second, ['10.244.1.5'], DNS);
  await pods.flush();
  for (const one of [pods, open(folder)]) {
    t.equal(one.names.at('10.244.1.5', former), 'default/web-1');
    t.equal(one.names.at('10.244.1.5', between), null);
    t.equal(one.names.at('10.244.1.5', Date.now()), 'kube-system/dns.0');
  }
  t.strictSame(announced, [['10.244.1.5'], ['10.244.1.5'], ['10.244.1.5']], 'each change of the owner');
});

t.test('the next start drops pods whose namespace or interface is gone', async t => {
  const pods = open(folderOf(t));
  pods.attached(first, ['10.244.1.5'], WEB);
  pods.attached({ ...second, netns: '/proc/nonexistent' }, ['10.244.1.6'], DNS);
  pods.attached({ ...second, containerId: 'c3', hostLinks: ['lo', 'veth77'] }, ['10.244.1.7'], DNS);
  const hidden = { ...second, containerId: 'c4', netns: '/proc/nonexistent/ns/net' };
  pods.attached(hidden, ['10.244.1.8'], DNS);
  pods.reconcile(new Set(['lo', 'eth0']));
  t.strictSame(
    namesOf(pods),
    ['10.244.1.5 default/web-1', '10.244.1.8 kube-system/dns.0'],
    'a namespace whose directory is not visible may be there',
  );
});

t.test('GC leaves the valid attachments of its network, and all of other networks', async t => {
  const pods = open(folderOf(t));
  pods.attached(first, ['10.244.1.5'], WEB);
  pods.attached(second, ['10.244.1.6'], DNS);
  pods.attached({ ...first, network: 'storage', ifname: 'net1' }, ['10.9.0.5'], WEB);
  pods.collected('pods', [{ containerId: 'c2', ifname: 'eth0' }]);
  t.strictSame(namesOf(pods), ['10.244.1.6 kube-system/dns.0', '10.9.0.5 default/web-1']);
});

t.test('the next start has the names; a file that is damaged, or of another version, is empty', async t => {
  const folder = folderOf(t);
  const path = join(folder, 'pods.json');
  writeFileSync(`${path}.999999.00000000:.tmp`, 'left by a killed agent');
  const pods = open(folder);
  pods.attached(first, ['10.244.1.5'], WEB);
  pods.attached(second, ['10.244.1.6'], DNS);
  await pods.flush();
  t.strictSame(readdirSync(folder), ['pods.json']);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.strictSame(open(folder).all, pods.all);
  const whole = readFileSync(path, 'utf8');
  const damages = [
    whole.slice(0, whole.length / 2),
    whole.replace('"version":1', '"version":2'),
    whole.replace('web-1', 'web-1\\u001b[2J'),
    whole.replace('"containerId":"c1",', ''),
    '',
    'null',
  ];
  for (const damaged of damages) {
    writeFileSync(path, damaged);
    t.strictSame(open(folder).all, [], damaged.slice(0, 40));
  }
});

t.test('a name that Kubernetes does not accept is not kept', async t => {
  const pods = open(folderOf(t));
  for (const name of ['', 'a/b', 'web\u001b[2J', 'Web', '-web', 'web..1', 'x'.repeat(254)])
    pods.attached(first, ['10.244.1.5'], { namespace: 'default', name });
  pods.attached(second, ['10.244.1.6'], { namespace: 'x'.repeat(64), name: 'web' });
  pods.attached({ ...second, containerId: 'c'.repeat(600) }, ['10.244.1.6'], WEB);
  t.strictSame(pods.all, []);
});

t.test('above the limit the oldest address is forgotten', async t => {
  const pods = open(folderOf(t));
  const addresses = Array.from({ length: 5000 }, (_, at) => `10.1.${at >> 8}.${at & 255}`);
  pods.attached(first, addresses.slice(0, 2000), WEB);
  pods.attached(second, addresses.slice(2000), DNS);
  t.equal(pods.all.length, 4096);
  t.equal(nameAt(pods, '10.1.0.0'), null);
  t.equal(nameAt(pods, addresses.at(-1)!), 'kube-system/dns.0');
  pods.detached(second);
  t.equal(pods.all.length, 1096 + 1024, 'of the former ones as well');
});

t.test('a directory that cannot be written is named once, and the names stay', async t => {
  const folder = folderOf(t);
  writeFileSync(join(folder, 'file'), '');
  const said: string[] = [];
  const pods = open(join(folder, 'file'), said);
  for (const at of [first, second]) {
    pods.attached(at, [`10.244.1.${at.containerId.slice(1)}`], WEB);
    await pods.flush();
  }
  t.equal(pods.all.length, 2);
  t.match(said, [/the next start of the agent will not have the names of the pods: .*ENOTDIR|EEXIST/]);
  t.equal(said.length, 1);
});

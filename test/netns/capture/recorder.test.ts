import { readFileSync, statSync } from 'node:fs';
import t from 'tap';
import type { Answer } from '../../../src/api/answers.ts';
import type { LastDrop } from '../../../src/capture/decode/drop-rows.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { allAtOnce } from '../../fixtures/agents/overlay.ts';
import { type Configuration, MAIN } from '../../fixtures/agents/run-node.ts';
import { watchedNodes } from '../../fixtures/agents/watched-nodes.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { Transcript } from '../../fixtures/transcript.ts';
import { tsharkFields } from '../../unit/capture/fixtures/tshark.ts';

/* The flight recorder of a running node: what was lost, what went by in the last seconds, and what triggers keep. */

const page = new Transcript('docs/guides/debug/commands.md');

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'tshark', 'tcpdump');

/** All addresses of the cluster lead into the overlay, of which UNUSED belongs to no node. */
const WIDE = { mode: 'udp', networks: ['10.244.0.0/16'] };
const UNUSED = '10.244.200.9';

type State = Answer<'/recorder'>;

async function overlay(owner: Parameters<typeof watchedNodes>[0], extra: Configuration = {}) {
  const nodes = await watchedNodes(owner, extra);
  const { one, two, ripstop } = nodes;
  const run = (...words: [string, ...string[]]) => ripstop(one, ...words).success();
  return {
    ...nodes,
    run,
    last: async (count: number): Promise<LastDrop[]> =>
      JSON.parse(await run('drops', '--last', String(count), '--json')).drops,
    state: async (): Promise<State> => JSON.parse(await run('recorder', '--json')),
    pod: two.pods[0]!.address,
  };
}

const ping = (from: Node, address: string, count: number, ...words: string[]) =>
  from.pods[0]!.ns.attempt(['ping', ...allAtOnce(count), '-W', '1', ...words, address]);

/** Sends one datagram with these bytes to the tunnel's port. */
function sendRaw(from: Node, to: string, hex: string): void {
  const program = `
    const socket = require('node:dgram').createSocket('udp4');
    socket.send(Buffer.from('${hex}', 'hex'), 8285, '${to}', () => socket.close());`;
  from.ns.must([process.execPath, '-e', program]);
}

t.test('losses of several kinds, asked about afterwards', { skip }, async t => {
  const { one, two, folder, run, last, reload } = await overlay(t, WIDE);
  ping(one, UNUSED, 3);
  sendRaw(two, one.underlay[4], '45');
  sendRaw(two, one.underlay[4], '450000140000000040110000090909090af40102');
  let drops: LastDrop[] = [];
  await until('the lost frames', async () => {
    drops = (await last(50)).filter(({ reason }) => reason !== 'multicast');
    return drops.length >= 5;
  });
  const rows = drops.map(({ device, reason, direction, from, skipped }) => [
    device,
    reason,
    direction,
    from,
    skipped,
  ]);
  t.same(rows, [
    ...Array(3).fill(['flannel0', 'no-peer', 'egress', null, 0]),
    ['flannel0', 'runt', 'ingress', two.underlay[4], 0],
    ['flannel0', 'spoofed-source', 'ingress', two.underlay[4], 0],
  ]);
  t.match(drops[0]?.packet, /10\.244\.1\.\d+ > 10\.244\.200\.9: ICMP/);
  t.equal((await last(2)).length, 2);
  await reload(one, {});
  t.ok((await last(50)).length >= 5, 'a configuration that is read again keeps them');

  const text = await run('drops', '--last', '50');
  // The devices of a namespace announce themselves now and then.
  const shown = text.split('\n').filter(line => !/multicast/.test(line));
  page.hold(t, 'recorder-last', `$ ripstop drops --last 50\n${shown.join('\n')}`);
  t.match(text, /^\d\d:\d\d:\d\d\.\d{3} no-peer +egress +10\.244\.1\.\d+ > 10\.244\.200\.9: ICMP, /m);
  t.match(text, /^runt: too short to hold the headers; something else sends to this port$/m, 'the advice');
  t.match(text, /^flannel0: recorded since 20/m);

  const file = `${folder}/lost.pcapng`;
  await run('drops', '--last', '50', '--write', file);
  t.equal(statSync(file).mode & 0o777, 0o600);
  const written = tsharkFields(readFileSync(file), ['frame.interface_name', 'frame.comment']);
  for (const reason of ['no-peer', 'runt', 'spoofed-source'])
    t.ok(
      written.some(([name, comment]) => name === 'drop' && comment?.includes(`drop: ${reason}`)),
      reason,
    );
});

t.test('a flood is sampled, and says so', { skip }, async t => {
  const { one, run, state } = await overlay(t, WIDE);
  const program = `
    const socket = require('node:dgram').createSocket('udp4');
    let left = 4000;
    const next = () => { if (left-- > 0) socket.send('x', 9, '${UNUSED}', next); else socket.close(); };
    next();`;
  one.pods[0]!.ns.must([process.execPath, '-e', program]);
  const { drops } = JSON.parse(await run('drops', '--json')) as Answer<'/drops'>;
  const lost = drops.find(({ reason }) => reason === 'no-peer')?.frames ?? 0;
  t.ok(lost > 1000, `${lost} lost`);
  const { overlays } = await state();
  const sampling = overlays[0]?.recorder.losses.find(({ reason }) => reason === 'no-peer');
  t.equal(sampling?.lost, lost);
  t.ok((sampling?.recorded ?? 0) < lost / 2, `${sampling?.recorded} recorded`);
  const text = await run('drops', '--last', '5');
  t.match(text, /\d+ before it not recorded/);
  t.match(text, /no-peer: \d+ of \d+ lost frames recorded, at present every (one|\d+th)/);
});

t.test('the past seconds, as tcpdump saw them', { skip }, async t => {
  const { one, two, folder, run, state, pod, ripstop } = await overlay(t);
  const refused = ripstop(one, 'capture', '--past', '10s');
  t.not((await refused.ended).code, 0);
  t.match(refused.stderr, /the headers of all frames are not recorded.*ripstop recorder on/s);

  t.match(await run('recorder', 'on'), /headers of all frames: on, 64\.0 MiB for \d+ frames/);
  const tcpdump = one.ns.launch(['tcpdump', '-i', 'flannel.1', '-U', '-w', `${folder}/device.pcap`]);
  await tcpdump.saying(/listening on/);
  ping(one, pod[4], 5);
  ping(one, pod[6], 5, '-6');
  ping(two, one.pods[0]!.address[4], 3, '-s', '1000');
  const file = `${folder}/past.pcapng`;
  const points = ['-p', 'egress-inner,ingress-inner'];
  await run('capture', '--past', '60s', '--write', file, ...points, 'icmp', 'or', 'icmp6');
  const seen = await until('the same packets in tcpdump', () => {
    const bytes = readFileSync(`${folder}/device.pcap`);
    const found = echoes(bytes);
    return found.length >= 26 ? found : undefined;
  });
  await tcpdump.stop('SIGINT');
  const bytes = readFileSync(file);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.same(echoes(bytes), seen, 'all echoes and no others');
  const lengths = tsharkFields(bytes, ['frame.cap_len', 'frame.len']);
  t.ok(
    lengths.every(([captured]) => Number(captured) <= 96) && lengths.some(([, all]) => Number(all) > 1000),
  );

  t.match(await run('capture', '--past', '1m', 'icmp6'), /egress-inner .*ICMPv6/);
  const echo = `icmp[icmptype] = icmp-echo and src host ${one.pods[0]!.address[4]}`;
  const printed = await run('capture', '--past', '1m', '-p', 'egress-inner', echo);
  const [first] = printed.split('\n');
  page.hold(t, 'recorder-past', `$ ripstop capture --past 1m -p egress-inner '${echo}'\n${first}`);
  const { overlays } = await state();
  t.ok(overlays[0]!.recorder.headers && overlays[0]!.recorder.bytes <= 64 << 20);
  t.match(await run('status'), /^recorder +flannel\.1: headers of the last \d+ frames/m);
  t.match(await run('recorder', 'off'), /headers of all frames: off \(on: 64\.0 MiB/);
});

/** Echoes and their answers, sorted: addresses, kind and sequence number. */
function echoes(capture: Uint8Array): string[] {
  const fields = [
    'ip.src',
    'ipv6.src',
    'icmp.type',
    'icmpv6.type',
    'icmp.seq',
    'icmpv6.echo.sequence_number',
  ];
  return tsharkFields(capture, fields, 'icmp.type == 0 or icmp.type == 8 or icmpv6.type in {128..129}')
    .map(row => row.join(' '))
    .sort();
}

/** Names of the recordings of a trigger. */
const recordingsOf = ({ recordings }: State, trigger: string): string[] =>
  recordings.map(({ path }) => path).filter(path => path.includes(`-${trigger}-`));

t.test('each trigger freezes the recorder once a minute', { skip }, async t => {
  const { one, two, folder, run, state, pod, log } = await triggered(t);
  const base = `${folder}/node1/recordings`;
  ping(one, pod[4], 1);

  one.ns.ip('route change 172.31.0.0/24 dev eth0 proto kernel src 172.31.0.1 mtu 1400');
  const tooBig = () => ping(one, pod[4], 1, '-M', 'do', '-s', '1400');
  const first = await until('too-big', async () => {
    tooBig();
    return recordingsOf(await state(), 'too-big')[0] ?? '';
  });
  one.ns.ip('route change 172.31.0.0/24 dev eth0 proto kernel src 172.31.0.1 mtu 1500');

  await reset(one, two);
  const after = await until('reset', async () => recordingsOf(await state(), 'reset')[0] ?? '');

  one.ns.must(['nft', 'add table ip recorder']);
  one.ns.must(['nft', 'add chain ip recorder out { type filter hook output priority 0; }']);
  one.ns.must(['nft', 'add rule ip recorder out udp dport 8472 drop']);
  const lost = await until('peer-loss', async () => {
    ping(one, pod[4], 20);
    return recordingsOf(await state(), 'peer-loss')[0] ?? '';
  });
  one.ns.must(['nft', 'delete table ip recorder']);

  // Again: the minute is not over.
  await reset(one, two);
  ping(one, pod[4], 3);
  const all = await state();
  for (const trigger of ['too-big', 'reset', 'peer-loss'])
    t.equal(recordingsOf(all, trigger).length, 1, `${trigger}: once`);

  for (const [path, mark] of [
    [first, 'too-big'],
    [after, 'RST'],
    [lost, 'send-failed'],
  ] as const) {
    t.ok(path.startsWith(`${base}/20`), path);
    t.equal(statSync(path).mode & 0o777, 0o600);
    const rows = tsharkFields(readFileSync(path), [
      'frame.interface_name',
      'frame.comment',
      'tcp.flags.reset',
    ]);
    t.ok(
      rows.some(([, comment, rst]) => (mark === 'RST' ? /1|True/.test(rst ?? '') : comment?.includes(mark))),
      mark,
    );
  }
  t.equal(statSync(base).mode & 0o777, 0o700);
  const files = (await run('recorder')).replaceAll(folder, '/run').replace(/(since|at) [^:]*$/gm, '$1');
  page.hold(t, 'recorder-files', `$ ripstop recorder\n${files}`);
  t.match(await run('recorder'), /written by triggers:\n20.* KiB +\S+-too-big-flannel\.1\.pcapng/s);
  t.match(
    log(),
    /flight recorder frozen: flannel\.1: RST after data: 10\.244\.\S+ to 10\.244\.\S+: 20\S+-reset-/,
  );
});

/** Two nodes of which the first has all triggers on, with its log. */
async function triggered(owner: Parameters<typeof watchedNodes>[0]) {
  const nodes = await overlay(owner, {
    recorder: 'headers',
    recorderMebibytes: 8,
    triggerTooBig: true,
    triggerPeerLoss: 5,
    triggerWorkerLag: 0,
  });
  return { ...nodes, log: () => nodes.logOf(nodes.one) };
}

/** Makes a TCP connection between the pods that carries data and is then reset. */
async function reset(one: Node, two: Node): Promise<void> {
  const [from, to] = [one.pods[0]!, two.pods[0]!];
  const serve = `
    const server = require('node:net').createServer(socket => {
      socket.on('error', () => {});
      socket.on('close', () => process.exit(0));
      socket.on('data', data => socket.write(data));
    });
    server.listen(7777, '${to.address[4]}', () => console.log('listening'));`;
  const server = to.ns.launch([process.execPath, '-e', serve]);
  await server.saying(/listening/);
  const call = `
    const socket = require('node:net').connect(7777, '${to.address[4]}');
    socket.on('connect', () => socket.write('data'));
    socket.on('data', () => socket.resetAndDestroy());`;
  from.ns.must([process.execPath, '-e', call]);
  await server.success();
}

t.test('an agent has one, too, and after a restart of the agent it says since when', { skip }, async t => {
  const lab = labFor(t);
  const store = fileStoreFor(t, { Backend: { Type: 'udp' } });
  const { agents } = agentsFor(t, lab, store.flags);
  for (const agent of agents) {
    agent.rememberSubnet();
    agent.start();
  }
  await Promise.all(agents.map(agent => agent.ready(1)));
  const [one] = lab.nodes as [Node, Node];
  const [agent] = agents;
  const last = (): { overlays: State['overlays']; drops: LastDrop[] } =>
    JSON.parse(
      one.ns.must([process.execPath, MAIN, 'drops', '--last', '9', '--json', '--socket', agent!.socket]),
    );
  await until('a lost frame', () => {
    ping(one, UNUSED, 1);
    return last().drops.some(({ reason }) => reason === 'no-peer');
  });
  const { since } = last().overlays[0]!.recorder;
  await agent!.stop();
  agent!.start();
  await agent!.ready(1);
  const after = last();
  t.ok(after.overlays[0]!.recorder.since > since, 'later');
  t.notOk(after.drops.some(({ reason }) => reason === 'no-peer'));
});

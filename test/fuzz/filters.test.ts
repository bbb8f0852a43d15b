import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { runProgram } from '../../src/capture/filter/bpf.ts';
import { compileFilter } from '../../src/capture/filter/filter-compiler.ts';
import { resolveSelection } from '../../src/capture/filter/selection.ts';
import { LINK_ETHERNET, LINK_RAW } from '../../src/capture/format/packet.ts';
import { findProgram } from '../../src/lab/programs.ts';
import { skipUnless } from '../fixtures/skip-unless.ts';
import { ethernet, ip, tcp, V4 } from '../unit/capture/fixtures/frames.ts';
import { CONTEXT } from '../unit/capture/fixtures/tapped.ts';
import { bytesOf, campaign, refusing, textOf } from './campaign/campaign.ts';
import { alterJson, alterText } from './campaign/mutate-text.ts';

/* What a person types to choose packets: in the web UI, on the command line, in a request to the agent's socket. */

const skip = skipUnless('root', 'netns', 'tcpdump');

/** A folder for the files that a filter must not write; tcpdump runs in a network namespace, where no name is looked up. */
function isolate(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ripstop-filters-'));
  const [programs, work] = [join(folder, 'bin'), join(folder, 'work')];
  for (const one of [programs, work]) mkdirSync(one);
  const wrapper = join(programs, 'tcpdump');
  writeFileSync(wrapper, `#!/bin/sh\nexec unshare --net '${findProgram('tcpdump')}' "$@"\n`);
  chmodSync(wrapper, 0o755);
  process.env.PATH = `${programs}:${process.env.PATH}`;
  return folder;
}

t.test('filter expressions: compiled to a program that ends, or refused', { skip }, async t => {
  const folder = isolate();
  const [home, work] = [process.cwd(), join(folder, 'work')];
  process.chdir(work);
  t.teardown(() => {
    process.chdir(home);
    rmSync(folder, { recursive: true, force: true });
  });
  const frame = ethernet(ip(V4, 6, tcp({ from: 4e4, to: 80, sequence: 1, flags: 2 }, new Uint8Array(0), V4)));
  const expressions = [
    'tcp port 80 and host 10.244.1.2',
    'icmp6 or (ip6 and udp[0:2] > 1024)',
    'vlan 7 && ether src 02:00:00:00:00:01',
    'net 10.0.0.0/8 and not portrange 1-1024 and len <= 1400',
    'ip[6:2] & 0x1fff = 0 and tcp[tcpflags] & (tcp-syn|tcp-fin) != 0',
    '-w out',
    '-z sh -G 1 -w out',
    '$(touch out)',
    '',
  ];
  await campaign(t, {
    name: 'expressions',
    seeds: expressions.map(bytesOf),
    alter: alterText,
    // Each starts a process.
    pace: 40,
    leastAccepted: 5,
    async parse(bytes) {
      const link = (bytes[0] ?? 0) & 1 ? LINK_RAW : LINK_ETHERNET;
      let isCompiled = false;
      try {
        const program = await compileFilter(textOf(bytes), link);
        for (const length of [0, 1, 20, frame.length]) {
          const kept = runProgram(program, frame.subarray(0, length), length);
          if (!Number.isInteger(kept) || kept < 0) throw new Error(`keeps ${kept} bytes`);
        }
        isCompiled = true;
      } catch (error) {
        if ((error as { code?: string }).code !== 'EFILTER') throw error;
      }
      const [written] = readdirSync(work);
      if (written !== undefined) throw new Error(`${written} was written`);
      return isCompiled;
    },
  });
});

t.test('names of points, verdicts and peers: resolved, or refused', async t => {
  const selections = [
    { points: ['egress-device', 'ingress-wire'], verdicts: ['drop'], peer: 'node-b' },
    { points: [], verdicts: ['forward', 'too-big'], peer: '2001:db8::3' },
    { verdicts: ['unknown-peer'], peer: '::ffff:192.0.2.2' },
  ];
  /** As the schemas of requests and options let them pass. */
  const names = (raw: unknown) =>
    Array.isArray(raw) ? raw.filter(one => typeof one === 'string') : undefined;
  await campaign(t, {
    name: 'selections',
    seeds: selections.map(selection => bytesOf(JSON.stringify(selection))),
    alter: alterJson,
    leastAccepted: 0,
    parse(bytes) {
      let raw: Record<string, unknown>;
      try {
        raw = Object(JSON.parse(textOf(bytes)));
      } catch {
        return false;
      }
      const peer = typeof raw.peer === 'string' ? raw.peer : undefined;
      const selection = { points: names(raw.points), verdicts: names(raw.verdicts), peer, snapLength: 0 };
      return refusing(() => {
        const { points, verdicts = [], peer: slot = 1 } = resolveSelection(selection, CONTEXT);
        const isWhole = points >= 0 && verdicts.every(number => CONTEXT.verdicts[number] !== undefined);
        if (!isWhole || !CONTEXT.peers[slot]) throw new Error(`resolved to ${points}, ${verdicts}, ${slot}`);
      }, 'ECAPTURE');
    },
  });
});

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { PATH_PROGRAM } from '../../../bench/in-process.ts';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import type { PathResult } from '../../../bench/path/main.ts';
import type { BenchFile } from '../../../bench/report/samples.ts';
import { launch } from '../../../src/lab/proc.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const skip = skipUnless('root', 'netns', 'tun', 'vxlan', 'ip', 'ping', 'ethtool', 'iperf3');
const folder = mkdtempSync(join(tmpdir(), 'rs-bench-'));
t.teardown(() => rmSync(folder, { recursive: true }));

/** Runs the benchmark and reads what `--json` wrote. */
async function bench(...args: string[]): Promise<{ file: BenchFile; output: string; pid: number }> {
  const json = join(folder, `${args[0]}.json`);
  const run = launch([process.execPath, `${CHECKOUT}dist/bench/main.js`, ...args, '--json', json]);
  const output = await run.success(900_000);
  return { file: JSON.parse(readFileSync(json, 'utf8')) as BenchFile, output, pid: run.pid };
}

const namespacesOf = (pid: number) => readdirSync('/run/netns').filter(name => name.startsWith(`rs-${pid}-`));

t.test('e2e: every contender, measure and round gives its samples', { skip }, async t => {
  const choice =
    '--contenders kernel,vxlan --measures tcp1,tcpboth,udp64x8,rr,rrload --conditions wire --inner 6';
  const { file, output, pid } = await bench('e2e', ...choice.split(' '), '--rounds', '2', '--seconds', '1');
  t.match(file, { format: 'ripstop-bench/1', inner: 6, underlay: 4, congestion: 'cubic', missing: [] });
  for (const contender of ['kernel', 'vxlan']) {
    const tcp = ['tcp1', 'tcpboth', 'cpu', 'cpuUser', 'cpuSystem'];
    for (const figure of [...tcp, 'udp64x8', 'udp64x8loss', 'rr50', 'rr99', 'rr999', 'load50', 'load99']) {
      const values = file.samples.filter(s => s.contender === contender && s.figure === figure);
      t.equal(values.length, 2, `${contender}, ${figure}: a sample a round`);
      t.ok(
        values.every(
          ({ value, condition }) => condition === 'wire' && (value > 0 || figure === 'udp64x8loss'),
        ),
      );
    }
  }
  const audited = file.samples.filter(s => s.suite === 'audit' && s.condition === 'wire, udp64x8');
  t.same([...new Set(audited.map(s => s.contender))], ['vxlan'], 'UDP of Ripstop has an account');
  t.equal(audited.length, 2 * 6, 'of all figures, each round');
  for (const { value } of audited.filter(s => s.figure === 'auditResidue')) t.equal(value, 0, 'no residue');
  const threads = file.samples.filter(s => s.suite === 'threads' && s.figure === 'threadSystem');
  t.same(new Set(threads.map(s => s.contender)), new Set(['vxlan']), 'the kernel has no threads of its own');
  for (const name of ['wire, node 1 egress-', 'wire, node 2 ingress-'])
    t.ok(
      threads.some(s => s.condition.startsWith(name) && s.value > 0),
      name,
    );
  t.match(output, /wire flatters Ripstop: /);
  t.match(output, /underlay wire +kernel VXLAN +Ripstop vxlan/);
  t.same(namespacesOf(pid), [], 'nothing is left');
});

t.test(
  'cni: chains wire and unwire a pod in turn',
  { skip: skip || skipUnless('iptables', 'nft') },
  async t => {
    const { file, output, pid } = await bench('cni', '--quick');
    t.same(
      file.missing.filter(({ contender }) => contender !== 'cni-go'),
      [],
    );
    for (const chain of ['own', 'own-agent', 'flannel', 'ripstop']) {
      for (const figure of ['cniAdd', 'cniDel']) {
        const taken = file.samples.filter(s => s.contender === `cni-${chain}` && s.figure === figure);
        t.ok(taken.every(({ value }) => value > 0));
        t.equal(taken.filter(s => s.condition === '').length, 5, `${chain}: ${figure}`);
        // A call without an agent starts Node. The number of pods does not change that, so it is not measured there.
        const crowded = taken.filter(s => s.condition === '20 pods').length;
        t.equal(crowded, chain === 'own' ? 0 : 5, `${chain}: ${figure}, with 20 pods`);
      }
    }
    t.match(output, /ripstop, agent/);
    t.same(namespacesOf(pid), []);
  },
);

t.test('path: frames are carried without a collection', async t => {
  const { file } = await bench('path', '--quick');
  const collections = file.samples.filter(s => s.figure === 'collections');
  t.ok(collections.length > 10);
  t.same(
    collections.filter(({ value }) => value > 0),
    [],
  );
});

/** Makes V8's compiler thread as late as on a machine that is busy with something else. */
const LATE = '--concurrent-recompilation-delay';
const { stdout: options } = spawnSync(process.execPath, ['--v8-options'], { encoding: 'utf8' });
const late = { skip: options.includes(`${LATE} `) ? false : `this V8 has no ${LATE}` };

t.test('path: the collections do not depend on how soon a thread of V8 compiles', late, async t => {
  const program = [process.execPath, `${LATE}=5000`, ...PATH_PROGRAM];
  for (const direction of ['egress', 'ingress']) {
    const child = launch([...program, direction, 'vxlan', '2', '0', '1']);
    const { frames, collections } = JSON.parse(await child.success()) as PathResult;
    t.equal(collections, 0, `${direction}: ${frames} frames`);
  }
});

t.test('scale and soak: memory by peers, no collection while traffic flows', { skip }, async t => {
  const { file, output, pid } = await bench('scale', 'soak', '--quick', '--soak', '2');
  t.same(file.missing, []);
  const value = (suite: string, condition: string, figure: string) =>
    file.samples.find(s => s.suite === suite && s.condition === condition && s.figure === figure)?.value ??
    -1;
  const [one, thousand] = ['1 peer', '1000 peers'].map(peers => value('scale', peers, 'residentMb'));
  t.ok(one! > 0 && thousand! > one!, `${one} MB, ${thousand} MB`);
  for (const figure of ['createdS', 'createdCpuS', 'oneMs', 'deletedS', 'peakMb', 'afterMb'])
    t.ok(value('scale', '300 nodes in 1 s', figure) > 0, figure);
  for (const peers of ['1 peer', '1000 peers']) t.ok(value('scale', peers, 'idlePercent') > 0, peers);
  t.ok(value('scale', "from flannel's device", 'takeoverLost') >= 0, 'a move from flannel');
  t.equal(value('soak', '2 s', 'collections'), 0);
  t.match(output, /soak +GCs\n-+\nRipstop vxlan, 2 s +0\n/);
  t.same(namespacesOf(pid), []);
});

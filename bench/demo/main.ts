/* `npm run demo`: see docs/demo.md. Results on standard output, everything else on standard error. */
import { describeError, RipstopError } from '../../src/base/errors.ts';
import type { Contender } from '../contenders/contender.ts';
import { kernelVxlan } from '../contenders/kernel-vxlan.ts';
import { ripstop } from '../contenders/ripstop.ts';
import { keepOwn, removeKept, removeStale } from '../lab/namespace.ts';
import { buildLab, type Lab } from '../lab/topology.ts';
import { machine, versions } from '../lab/versions.ts';
import { measureAll, type Standing } from './measure-all.ts';
import { type DemoOptions, readOptions } from './options.ts';
import { CHECK, FULL, planSeconds, QUICK } from './plan.ts';
import { Progress } from './progress.ts';
import { makeReport } from './report.ts';
import { formatTable } from './table.ts';

const tell = (line: string) => process.stderr.write(`${line}\n`);

/** Builds a lab of its own for `contender` and lets it join the nodes. */
async function stand(contender: Contender, options: DemoOptions): Promise<Standing & { lab: Lab }> {
  const obstacle = contender.obstacle();
  if (obstacle !== undefined) throw new RipstopError('EOBSTACLE', `${contender.label}: ${obstacle}`);
  const lab = buildLab();
  lab.condition(options.condition);
  const laid = await contender.lay(lab, options);
  const [from, to] = lab.nodes.map(node => node.pods[0]!);
  const address = to!.address[options.inner];
  return { label: contender.label, laid, lab, route: { from: from!.ns, to: to!.ns, address } };
}

/** Takes the overlays down properly, which shows that they can; the namespaces go when this process ends. */
async function takeDown(standing: readonly (Standing & { lab: Lab })[]): Promise<void> {
  for (const { laid, lab } of standing) {
    await laid.stop();
    lab.remove();
  }
}

async function run(options: DemoOptions): Promise<number> {
  const began = performance.now();
  if (process.getuid?.() !== 0)
    throw new RipstopError('EPRIV', 'network namespaces take root', 'run it with sudo');
  const left = removeStale();
  if (left.length > 0) tell(`removed what an earlier run left behind: ${left.join(' ')}`);

  const plan = options.check ? CHECK : options.quick ? QUICK : FULL;
  const contenders = [ripstop({ mode: options.mode }), ...(options.kernel ? [kernelVxlan()] : [])];
  const progress = new Progress(planSeconds(plan, contenders.length));
  const standing: (Standing & { lab: Lab })[] = [];
  for (const contender of contenders) {
    progress.step(`${contender.label}: two nodes, two pods`, 1);
    standing.push(await stand(contender, options));
  }
  const figures = await measureAll(standing, plan, progress);
  progress.end();

  const [own, other] = standing;
  if (options.keep) {
    own!.laid.keep?.();
    await takeDown(standing.slice(1));
    keepOwn();
  } else await takeDown(standing);

  const report = makeReport({
    options,
    plan,
    seconds: (performance.now() - began) / 1000,
    ripstop: figures[0]!,
    kernel: figures[1],
    mtu: { ripstop: own!.laid.mtu, kernel: other?.laid.mtu },
    versions: versions(),
    machine: machine(),
  });
  process.stdout.write(`${options.json ? JSON.stringify(report) : formatTable(report)}\n`);
  if (options.keep) tell(entrance(own!.lab));
  return report.ok ? 0 : 1;
}

/** How to enter what `--keep` left standing, and how to remove it. */
function entrance({ nodes }: Lab): string {
  const lines = nodes.flatMap(({ ns, pods, index }) => [
    `node ${index}: ip netns exec ${ns.name} bash`,
    ...pods.map(
      pod => `pod behind it: ip netns exec ${pod.ns.name} bash    (${pod.address[4]}, ${pod.address[6]})`,
    ),
  ]);
  return ['It is left standing.', ...lines, 'remove: npm run demo -- --remove'].join('\n');
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (!options.remove) return run(options);
  const removed = removeKept();
  tell(removed.length > 0 ? `removed ${removed.join(' ')}` : 'nothing is left standing');
  return 0;
}

process.on('SIGINT', () => tell('\ninterrupted, removing everything'));
try {
  process.exit(await main());
} catch (error) {
  tell(`demo: ${describeError(error)}`);
  process.exit(1);
}

/* `npm run demo`: see docs/guides/benchmark/demo.md. Results on standard output, everything else on standard error. */
import { describeError, RipstopError } from '../../src/base/errors.ts';
import { keepOwn, removeKept, removeStale } from '../../src/lab/namespace.ts';
import { requirePrograms } from '../../src/lab/programs.ts';
import { buildLab, type Lab } from '../../src/lab/topology.ts';
import type { Contender } from '../contenders/contender.ts';
import { kernelVxlan } from '../contenders/kernel-vxlan.ts';
import { ripstop } from '../contenders/ripstop.ts';
import { machine, versions } from '../lab/versions.ts';
import { emptyFigures } from './figures.ts';
import { type Measurable, measureAll } from './measure-all.ts';
import { type DemoOptions, readOptions } from './options.ts';
import { CHECK, FULL, planSeconds, QUICK } from './plan.ts';
import { Progress } from './progress.ts';
import { makeReport } from './report.ts';
import { formatTable } from './table.ts';

const tell = (line: string) => process.stderr.write(`${line}\n`);

type Standing = Measurable & { lab: Lab };

/** Builds a lab of its own for `contender` and lets it join the nodes. */
async function stand(contender: Contender, options: DemoOptions): Promise<Standing> {
  const reason = contender.unavailable();
  if (reason !== undefined) throw new RipstopError('ENOTSUP', reason);
  const lab = buildLab();
  try {
    lab.condition(options.condition);
    const deployment = await contender.deploy(lab, options);
    const [from, to] = lab.nodes.map(node => node.pods[0]!);
    const address = to!.address[options.inner];
    return { label: contender.label, deployment, lab, route: { from: from!.ns, to: to!.ns, address } };
  } catch (error) {
    lab.remove();
    throw error;
  }
}

/** Takes an overlay down properly, which shows that it can. */
async function takeDown({ deployment, lab }: Standing): Promise<void> {
  await deployment.stop();
  lab.remove();
}

async function run(options: DemoOptions): Promise<number> {
  const began = performance.now();
  if (process.getuid?.() !== 0)
    throw new RipstopError('EPRIV', 'network namespaces take root', 'run it with sudo');
  requirePrograms();
  const left = removeStale();
  if (left.length > 0) tell(`removed what an earlier run left behind: ${left.join(' ')}`);

  const plan = options.check ? CHECK : options.quick ? QUICK : FULL;
  const contenders = [ripstop({ mode: options.mode }), ...(options.kernel ? [kernelVxlan()] : [])];
  const figures = contenders.map(emptyFigures);
  const standing: Standing[] = [];
  const progress = new Progress(planSeconds(plan, contenders.length));
  try {
    for (const [index, contender] of contenders.entries()) {
      progress.step(`${contender.label}: two nodes, two pods`, 1);
      try {
        standing.push(await stand(contender, options));
      } catch (error) {
        figures[index]!.errors.push(`${contender.label}: ${describeError(error)}`);
      }
    }
    // Without one of them there is nothing to compare, and the report says why.
    if (standing.length === contenders.length) await measureAll(standing, figures, plan, progress);
  } finally {
    progress.end();
  }

  const [own] = standing;
  const kept = options.keep && figures[0]!.errors.length === 0 ? own : undefined;
  kept?.deployment.keep?.();
  for (const one of standing) if (one !== kept) await takeDown(one);
  if (kept) keepOwn();

  const mtuOf = (index: number) =>
    standing.find(({ label }) => label === contenders[index]?.label)?.deployment.mtu;
  const report = makeReport({
    options,
    plan,
    seconds: (performance.now() - began) / 1000,
    ripstop: figures[0]!,
    kernel: figures[1],
    mtu: { ripstop: mtuOf(0), kernel: mtuOf(1) },
    versions: versions(),
    machine: machine(),
  });
  process.stdout.write(`${options.json ? JSON.stringify(report) : formatTable(report)}\n`);
  if (kept) tell(entrance(kept.lab));
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

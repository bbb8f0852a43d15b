import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Namespace } from '../../src/lab/namespace.ts';
import type { Proc } from '../../src/lab/proc.ts';
import { buildLab } from '../../src/lab/topology.ts';
import { until } from '../../src/lab/until.ts';
import { CHECKOUT } from '../lab/tool.ts';

export interface Burst {
  /** Nodes that come. */
  readonly nodes: number;
  /** Seconds in which they come, and go. */
  readonly seconds: number;
  readonly dual: boolean;
  /** Rest after a burst, s: late work is done and freed memory comes back. */
  readonly restS: number;
}

export interface BurstResult {
  /** From the first Node to the last route, and the agent's CPU time meanwhile, s. */
  readonly createdS: number;
  readonly createdCpuS: number;
  readonly deletedS: number;
  readonly deletedCpuS: number;
  /** From the deletion of one Node in the midst of the others' coming until its route was gone, ms. */
  readonly oneMs: number;
  /** Resident memory at most, with all peers after a pause, and when they had gone, MB. */
  readonly peakMb: number;
  readonly residentMb: number;
  readonly afterMb: number;
  /** Share of a core that the agent takes with all peers and nothing to do, %. */
  readonly idlePercent: number;
}

const WAIT_MS = 180_000;
const TICKS_A_SECOND = 100;

/** One agent with an API server that creates and deletes Nodes. */
export async function measureBurst({ nodes, seconds, dual, restS }: Burst): Promise<BurstResult> {
  const rest = () => new Promise(resolve => setTimeout(resolve, restS * 1000));
  const lab = buildLab();
  const root = mkdtempSync(join(tmpdir(), 'rs-burst-'));
  const procs: Proc[] = [];
  try {
    const { ns } = lab.nodes[0]!;
    const loaderPath = `${CHECKOUT}dist/bench/scale/kube-loader.js`;
    const loader = ns.launch([
      process.execPath,
      loaderPath,
      `${nodes}`,
      `${seconds}`,
      dual ? 'dual' : 'single',
    ]);
    procs.push(loader);
    const [, port] = await loader.saying(/^listening (\d+)$/m);
    const conf = {
      Network: '10.0.0.0/8',
      ...(dual ? { EnableIPv6: true, IPv6Network: 'fd00:10::/32' } : {}),
      Backend: { Type: 'vxlan', VNI: 1, Port: 8472 },
    };
    writeFileSync(join(root, 'net-conf.json'), JSON.stringify(conf));
    const agent = ns.launch(
      [
        process.execPath,
        `${CHECKOUT}dist/src/cli/main.js`,
        'agent',
        '--kube-subnet-mgr',
        `--kube-api-url=http://127.0.0.1:${port}`,
        `--net-config-path=${join(root, 'net-conf.json')}`,
        '--node-name=node0',
        '--iface=eth0',
        `--state-dir=${root}`,
        `--subnet-file=${join(root, 'subnet.env')}`,
      ],
      { log: join(root, 'log') },
    );
    procs.push(agent);
    const log = () => readFileSync(join(root, 'log'), 'utf8');
    await until('the agent to be ready', () => /"msg":"ready"|\bready\b/.test(log()), WAIT_MS, 100);

    const came = await phase(agent, loader, ns, nodes - 1);
    await rest();
    const idleBefore = cpuSeconds(agent.pid);
    const idleFrom = performance.now();
    await rest();
    const idlePercent =
      ((cpuSeconds(agent.pid) - idleBefore) / ((performance.now() - idleFrom) / 1000)) * 100;
    const resident = memoryMb(agent.pid, 'VmRSS');
    const peakMb = memoryMb(agent.pid, 'VmHWM');
    const went = await phase(agent, loader, ns, 0);
    await rest();
    return {
      createdS: came.seconds,
      createdCpuS: came.cpu,
      deletedS: went.seconds,
      deletedCpuS: went.cpu,
      oneMs: came.oneMs,
      peakMb,
      residentMb: resident,
      afterMb: memoryMb(agent.pid, 'VmRSS'),
      idlePercent,
    };
  } finally {
    for (const proc of procs) {
      process.kill(proc.pid, 'SIGKILL');
      await proc.stop().catch(() => {});
    }
    lab.remove();
    rmSync(root, { recursive: true, force: true });
  }
}

/** Lets the loader begin its next part, until there are so many routes. */
async function phase(agent: Proc, loader: Proc, ns: Namespace, routes: number) {
  const cpuBefore = cpuSeconds(agent.pid);
  const from = performance.now();
  process.kill(loader.pid, 'SIGUSR2');
  let deletedAt: number | undefined;
  let oneMs = 0;
  await until(
    `${routes} routes`,
    () => {
      // `far1`, as the loader numbers subnets; looked up alone, which is cheap.
      if (oneMs === 0 && routes > 0 && /^deleted$/m.test(loader.stdout)) {
        deletedAt ??= performance.now();
        if (ns.attempt(['ip', 'route', 'show', '10.96.0.4/30']).stdout.trim() === '')
          oneMs = Math.max(1, performance.now() - deletedAt);
        return false;
      }
      return countRoutes(ns) === routes;
    },
    WAIT_MS,
    50,
  );
  return { seconds: (performance.now() - from) / 1000, cpu: cpuSeconds(agent.pid) - cpuBefore, oneMs };
}

const countRoutes = (ns: Namespace): number =>
  Number(ns.must(['sh', '-c', 'ip route show proto 114 | wc -l']));

/** CPU time of a process with all its threads, s (proc(5), fields utime and stime). */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

function memoryMb(pid: number, what: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${what}:\\s+(\\d+)`, 'm').exec(status)![1]) / 1024;
}

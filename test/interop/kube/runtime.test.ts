import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { attempt } from '../../../src/lab/command.ts';
import { launch, type Proc } from '../../../src/lab/proc.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { PATIENCE_MS, until } from '../../../src/lab/until.ts';
import { readOutput } from '../../fixtures/json-output.ts';
import { apiInNodes } from '../../fixtures/kube/api-in-nodes.ts';
import { CriNode, type OciSpec, PAUSE } from '../../fixtures/kube/cri-runtime.ts';
import { BUILDER, type BuiltImage, buildImage, mountWords } from '../../fixtures/kube/image-build.ts';
import { cleanupPod, daemonPod, type KubePod } from '../../fixtures/kube/kube-pod.ts';
import { packImage, packPause } from '../../fixtures/kube/oci-image.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/*
 * The DaemonSet's pod in real container runtimes: the image as the Dockerfile builds it, run through containerd's CRI
 * socket on two nodes as a kubelet would, and the same container started directly by runc and crun.
 */

const skip = skipUnless(
  ...BUILDER,
  'netns',
  'tun',
  'nft',
  'curl',
  'containerd',
  'ctr',
  'runc',
  'cc',
  '/sys/fs/cgroup',
);
const { version } = JSON.parse(readFileSync(join(CHECKOUT, 'package.json'), 'utf8'));
const IMAGE = `docker.io/library/ripstop:${version}`;
const MAIN = ['node', '/opt/ripstop/dist/src/cli/main.js'];

interface Running {
  readonly lab: Node;
  readonly runtime: CriNode;
  readonly pod: KubePod;
  readonly sandbox: string;
  agent: string;
}

/** What a kubelet does with the pod: volumes, sandbox, init containers one after the other, containers. */
async function runPod(t: Test, lab: Node, runtime: CriNode, pod: KubePod): Promise<Running> {
  runtime.prepare(pod);
  const sandbox = await runtime.sandbox(pod.sandbox);
  for (const init of pod.init) {
    const id = await runtime.create(sandbox, pod.sandbox, init);
    await until(
      'the init container to end',
      async () => (await runtime.state(id)).state === 'EXITED',
      PATIENCE_MS,
      200,
    );
    const state = await runtime.state(id);
    t.equal(state.exit_code, 0, `${JSON.stringify(state)} ${logOf(runtime, 'install-cni')}`);
  }
  const agent = await runtime.create(sandbox, pod.sandbox, pod.containers[0]!);
  return { lab, runtime, pod, sandbox, agent };
}

const logOf = (runtime: CriNode, name: string): string => {
  try {
    return readFileSync(join(runtime.folder, 'logs', `${name}.log`), 'utf8').slice(-3000);
  } catch {
    return '';
  }
};

async function ready({ runtime, agent }: Running): Promise<void> {
  await until('the readiness probe', () => runtime.isReady(), PATIENCE_MS, 200).catch(async error => {
    throw new Error(`${error}\n${JSON.stringify(await runtime.state(agent))}\n${logOf(runtime, 'ripstop')}`);
  });
}

/** The container of the agent, started without containerd in the OCI configuration that containerd made for it. */
class DirectContainer {
  readonly #bundle: string;
  readonly #id: string;
  readonly #runtime: string;
  readonly #node: CriNode;
  readonly proc: Proc;

  constructor(runtime: string, node: CriNode, image: BuiltImage, spec: OciSpec) {
    this.#runtime = runtime;
    this.#node = node;
    this.#id = `rs-${process.pid}-${runtime}-${Date.now()}`;
    this.#bundle = mkdtempSync(join(node.folder, 'bundle-'));
    const root = join(this.#bundle, 'root');
    for (const part of ['root', 'upper', 'work']) mkdirSync(join(this.#bundle, part));
    const config = {
      ...spec,
      root: { ...spec.root, path: root },
      linux: { ...spec.linux, cgroupsPath: `/${this.#id}` },
    };
    writeFileSync(join(this.#bundle, 'config.json'), JSON.stringify(config));
    const mount = mountWords(image.layers, root, join(this.#bundle, 'upper'), join(this.#bundle, 'work'));
    // crun refuses a machine that has control groups of both versions.
    const one = runtime === 'crun' ? 'umount -l /sys/fs/cgroup/unified 2>/dev/null; ' : '';
    const script = `${one}${mount} && exec ${runtime} run -b ${this.#bundle} ${this.#id}`;
    this.proc = launch([...node.view, 'unshare', '--mount', '--propagation', 'slave', 'sh', '-c', script]);
  }

  async stop(): Promise<void> {
    attempt([...this.#node.view, this.#runtime, 'kill', this.#id, 'TERM']);
    await this.proc.stop();
    attempt([...this.#node.view, this.#runtime, 'delete', '-f', this.#id]);
  }
}

t.test(
  'the pod of the DaemonSet in containerd, runc and crun: starts, wires pods, carries packets',
  { skip },
  async t => {
    const image = await buildImage();
    const folder = mkdtempSync(join(tmpdir(), 'rs-cri-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const archives = [await packPause(PAUSE, folder), await packImage(image, IMAGE, folder)];
    const lab = labFor(t, { podsPerNode: 0 });
    for (const { ns } of lab.nodes) ns.ip('link del cni0');
    const { url } = await apiInNodes(t, lab.nodes, folder, ({ index }) => `n${index}`);
    const running = await Promise.all(
      lab.nodes.map(async node => {
        const home = join(folder, `n${node.index}`);
        mkdirSync(home);
        const runtime = await CriNode.start(t, node.ns, home, archives);
        return runPod(
          t,
          node,
          runtime,
          daemonPod(`n${node.index}`, home, [`--kube-api-url=${url}`, '--iface=eth0']),
        );
      }),
    );
    const [one, two] = running as [Running, Running];
    await Promise.all(running.map(ready));

    const node = await one.runtime.exec(one.agent, 'node', '-p', 'process.versions.node.split(".")[0]');
    t.equal(node.stdout.trim(), '24');
    const { stdout } = await one.runtime.exec(one.agent, ...MAIN, 'status', '--json');
    const status = readOutput('ripstop-status/1', stdout);
    t.match(status, { ready: true, refusedSysctls: [] }, 'settings are written through the second mount');

    const [left, right] = await Promise.all([one.runtime.pod('left'), two.runtime.pod('right')]);
    const reach = (from: typeof left, to: typeof left) => from.run(['ping', '-c1', '-W10', to.ip]).code === 0;
    t.match(
      [left.ip, right.ip],
      [/^10\.244\.1\./, /^10\.244\.2\./],
      'by 10-ripstop.conflist of the init container',
    );
    t.ok(reach(left, right) && reach(right, left), 'pod to pod of another node');
    const doctor = await one.runtime.exec(one.agent, ...MAIN, 'doctor', '--json');
    t.match(doctor.stdout, '1 peer answers', doctor.stderr);

    const spec = await one.runtime.spec(one.agent);
    const inProc = spec.mounts.filter(({ destination }) => /^\/proc\/./.test(destination));
    t.same(inProc, [], 'no runtime lets a mount into /proc');
    t.ok(spec.linux.readonlyPaths.includes('/proc/sys'), 'and /proc/sys is read-only');
    t.same(spec.process.capabilities.bounding!.sort(), ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_ADMIN']);

    // From here on the agent of the first node runs without containerd and takes over what the first one left.
    await one.runtime.stop(one.agent);
    for (const runtime of ['runc', 'crun'])
      await t.test(`${runtime} with containerd's configuration`, { skip: skipUnless(runtime) }, async t => {
        const first = new DirectContainer(runtime, one.runtime, image, spec);
        if (runtime === 'crun' && !allowsTun(runtime)) {
          await until('the reason', () => /device cgroup of this container/.test(first.proc.stderr)).catch(
            error => {
              t.fail(`${error}\n${first.proc.stderr}\n${first.proc.stdout}`);
            },
          );
          t.match(
            first.proc.stderr,
            /cannot open \/dev\/net\/tun: EPERM, .* set privileged: true in the securityContext/,
          );
          t.notOk(one.runtime.isReady());
          await first.stop();
          // As containerd writes it for privileged: true, and as a device plugin has it written for one device.
          for (const rule of [
            { allow: true, access: 'rwm' },
            { allow: true, type: 'c', major: 10, minor: 200, access: 'rw' },
          ]) {
            const devices = [...spec.linux.resources.devices, rule];
            const allowed = {
              ...spec,
              linux: { ...spec.linux, resources: { ...spec.linux.resources, devices } },
            };
            await worksDirectly(t, new DirectContainer(runtime, one.runtime, image, allowed));
          }
        } else await worksDirectly(t, first);
      });

    async function worksDirectly(t: Test, agent: DirectContainer): Promise<void> {
      await until('ready', () => one.runtime.isReady(), PATIENCE_MS, 200).catch(error => {
        t.fail(`${error}\n${agent.proc.stderr.slice(-3000)}\n${agent.proc.stdout.slice(-3000)}`);
      });
      await until('traffic', () => reach(left, right) && reach(right, left));
      const late = await one.runtime.pod(`late-${Date.now()}`);
      t.ok(reach(late, right), 'a pod that its CNI side wires');
      await one.runtime.stopSandbox(late.id);
      await agent.stop();
      t.notOk(one.runtime.isReady());
    }

    one.agent = await one.runtime.create(one.sandbox, one.pod.sandbox, {
      ...one.pod.containers[0]!,
      metadata: { name: 'ripstop', attempt: 1 },
    });
    await ready(one);
    for (const [{ runtime }, { id }] of [
      [one, left],
      [two, right],
    ] as const)
      await runtime.stopSandbox(id);
    for (const { lab } of running) t.notMatch(lab.ns.ip('link show'), /veth/, 'nothing of the pods is left');

    // The way back (K6): the pod of the DaemonSet leaves the node, then the Job runs.
    await two.runtime.stop(two.agent);
    const job = cleanupPod('n2', two.runtime.folder);
    const sandbox = await two.runtime.sandbox(job.sandbox);
    const cleanup = await two.runtime.create(sandbox, job.sandbox, job.containers[0]!);
    const ended = async () => (await two.runtime.state(cleanup)).state === 'EXITED';
    await until('the Job to end', ended, PATIENCE_MS, 200);
    t.equal((await two.runtime.state(cleanup)).exit_code, 0, logOf(two.runtime, 'cleanup'));
    t.notMatch(two.lab.ns.ip('link show'), /flannel/);
    t.notMatch(two.lab.ns.must(['nft', 'list', 'ruleset']), /table inet ripstop \{/);
  },
);

/** Debian 12's crun 1.8 is one of those that do not: 1.5 to 1.19. */
function allowsTun(runtime: string): boolean {
  const [, minor] = /version 1\.(\d+)/.exec(attempt([runtime, '--version']).stdout) ?? [];
  return Number(minor) < 5 || Number(minor) > 19;
}

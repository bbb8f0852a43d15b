import { readdirSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import threads from 'node:worker_threads';
import t from 'tap';
import { Agent } from '../../../src/agent/agent.ts';
import { parseFlags } from '../../../src/agent/config/flags.ts';
import { agentOptions } from '../../../src/agent/inputs/options.ts';
import { FileStore } from '../../../src/agent/store/file.ts';
import { createRegistry } from '../../../src/api/metrics.ts';
import { statusOf } from '../../../src/api/status.ts';
import { createLog } from '../../../src/base/log.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import { agentsFor, fileStoreFor } from '../../fixtures/agents/agents.ts';
import { deployRipstop } from '../../fixtures/agents/overlay.ts';
import { PingStream } from '../../fixtures/agents/ping-stream.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

/** Every worker thread that this process starts during a test, by name. @param broken name of a worker that fails */
function watchWorkers(
  t: { teardown(undo: () => unknown): void },
  broken?: string,
): Map<string, threads.Worker> {
  const started = new Map<string, threads.Worker>();
  const { Worker } = threads;
  threads.Worker = class extends Worker {
    constructor(file: string | URL, options?: threads.WorkerOptions) {
      const isBroken = broken !== undefined && options?.name === broken;
      super(isBroken ? new URL('data:text/javascript,throw new Error("no memory")') : file, options);
      started.set(options?.name ?? '', this);
    }
  };
  syncBuiltinESMExports();
  t.teardown(() => {
    threads.Worker = Worker;
    syncBuiltinESMExports();
  });
  return started;
}

t.test(
  'a worker that fails at the start of the data plane stops the whole of it',
  { skip: skipUnless('root', 'netns', 'tun') },
  async t => {
    const lab = labFor(t, { podsPerNode: 0 });
    const [one, two] = lab.nodes as [Node, Node];
    const workers = watchWorkers(t, 'ingress-1');
    const descriptors = () => readdirSync('/proc/self/fd').length;
    const before = descriptors();
    await t.rejects(deployRipstop(one, [two], { queues: 2, threadsPerQueue: 2 }), /no memory/);
    t.equal(workers.size, 4);
    await until('the workers to have ended', () =>
      [...workers.values()].every(worker => worker.threadId < 0),
    );
    await until('every descriptor to be closed', () => descriptors() === before);
    t.notMatch(one.ns.must(['ip', 'link']), 'flannel.1');
    t.equal(workers.size, 4, 'no worker is restarted');
  },
);

/** Threads of a queue by how many serve it. */
const FORMS = { one: ['both-0'], two: ['egress-0', 'ingress-1'] } as const;

for (const [threads, names] of Object.entries(FORMS))
  t.test(
    `threads per queue: ${threads}: one that ends is restarted and counted, and traffic continues without a restart of the network`,
    { skip: skipUnless('root', 'netns', 'tun', 'nft') },
    async t => {
      const workers = watchWorkers(t);
      const lab = labFor(t);
      const store = fileStoreFor(t);
      const { agents } = agentsFor(t, lab, store.flags);
      const [one, two] = lab.nodes as [Node, Node];
      for (const agent of agents) agent.rememberSubnet();
      agents[1]!.start();

      // The first node's agent is of this very process, whose threads can be ended one by one.
      const { stateDir, subnetFile } = agents[0]!;
      const flags = parseFlags(
        [
          '--iface=eth0',
          `--state-dir=${stateDir}`,
          `--subnet-file=${subnetFile}`,
          `--threads-per-queue=${threads}`,
        ],
        {},
      );
      const options = { ...agentOptions(flags, 'node1'), netns: one.ns.path };
      const agent = new Agent(
        options,
        new FileStore({ path: store.path, nodeName: 'node1' }),
        createLog('silent'),
      );
      const ended = agent.run();
      t.teardown(async () => {
        agent.stop();
        await ended;
      });
      const status = () => statusOf(agent, '', new Date()).overlays[0];
      await until('both ready', () => agent.readiness.isReady && status()?.peers === 1);
      await until(
        'traffic',
        () => one.pods[0]!.ns.attempt(['ping', '-c1', '-W1', two.pods[0]!.address[4]]).code === 0,
      );
      await until('the workers asked', () => status()!.workerLagMs! > 0);

      t.same([...workers.keys()], names);
      for (const [died, name] of names.entries()) {
        const stream = new PingStream(one, two, 10);
        await stream.flows();
        await workers.get(name)!.terminate();
        await until('it counted', () => status()!.workerRestarts === died + 1);
        const { lost, gapMs } = await stream.end();
        t.comment(`${name} ended: ${lost} pings lost, a gap of ${gapMs} ms`);
      }
      t.equal(agent.networkStarts, 1);
      const metrics = await createRegistry(agent).metrics();
      t.match(metrics, `ripstop_worker_restarts_total{device="flannel.1"} ${names.length}\n`);
      for (const direction of ['egress', 'ingress'])
        t.match(
          metrics,
          new RegExp(
            `ripstop_worker_lag_seconds\\{device="flannel.1",direction="${direction}",statistic="max"\\} \\d+\\.\\d`,
          ),
        );
      t.match(metrics, /ripstop_event_loop_lag_seconds\{statistic="max"\} \d/);
    },
  );

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '../base/errors.ts';
import { formatPrefix, isSamePrefix, type Prefix } from '../ip/prefix.ts';
import { deleteLink, listLinks } from '../net/rtnetlink/links.ts';
import { deleteRoute, listRoutes, TABLE_MAIN } from '../net/rtnetlink/routes.ts';
import { NetlinkSocket } from '../net/rtnetlink/socket.ts';
import { parseNetConf } from './config/net-conf.ts';
import { readSubnetEnv, type SubnetEnv } from './config/subnet-env.ts';
import type { Checkpoint } from './inputs/checkpoint.ts';
import { ownDevices, StateDir } from './inputs/state-dir.ts';
import { isOurs, observeAllRoutes } from './kernel/observe.ts';
import { formatKey } from './lease/lease.ts';
import { isBlackhole } from './overlay/blackhole.ts';
import { RECORDINGS_NAME } from './recorder/recordings.ts';
import { removeFlannelRules } from './rules/flannel-rules.ts';
import { NodeRules } from './rules/node-rules.ts';
import { UNCAUGHT_NAME } from './uncaught-record.ts';

/** What the agent makes in its state directory. */
const FILES = ['vtep.json', 'last-known.json', 'devices.json', UNCAUGHT_NAME, 'agent.sock', 'cni.sock'];

export interface CleanupOptions {
  readonly netns: string;
  readonly instance: string;
  readonly stateDir: string;
  readonly subnetFile: string;
  /** Also remove what flannel left on the node. */
  readonly flannel: boolean;
}

/** What was removed, what was left in place on purpose, and what could not be removed. */
export interface CleanupReport {
  readonly removed: readonly string[];
  readonly kept: readonly string[];
  readonly failures: readonly string[];
}

/** What the files of the agent say about its last run. */
interface LastRun {
  readonly env: SubnetEnv | undefined;
  readonly checkpoint: Checkpoint | undefined;
  /** Names of the devices that agents of this node made. */
  readonly made: readonly string[];
}

type Attempt = (what: string, work: () => Promise<void> | void) => Promise<void>;

/**
 * Removes everything that the agent made on this node, and nothing else: devices (names in the state directory), routes
 * (by protocol and network), rules (by table and chain) and files. The agent must not run. Sysctls such as ip_forward stay,
 * because other programs may rely on them; the lease expires. `subnet.env` stays where the node holds its subnet.
 */
export async function cleanUp(options: CleanupOptions): Promise<CleanupReport> {
  const removed: string[] = [];
  const kept: string[] = [];
  const failures: string[] = [];
  const attempt: Attempt = async (what, work) => {
    try {
      await work();
    } catch (error) {
      failures.push(`${what}: ${describeError(error)}`);
    }
  };
  const stateDir = new StateDir(options.stateDir);
  const run: LastRun = {
    env: await readSubnetEnv(options.subnetFile),
    checkpoint: await stateDir.load(),
    made: await stateDir.devices(),
  };
  const socket = new NetlinkSocket({ netns: options.netns });
  try {
    removed.push(...(await removeDevices(socket, run, options, attempt)));
    removed.push(...(await removeRoutes(socket, run, options, attempt)));
  } finally {
    socket.close();
  }
  const { removed: rules, failures: stuck } = await NodeRules.remove(options.netns, options.instance);
  removed.push(...rules);
  failures.push(...stuck.map(error => `rules: ${describeError(error)}`));
  if (options.flannel)
    await attempt(
      "flannel's rules",
      async () => void removed.push(...(await removeFlannelRules(options.netns))),
    );
  await attempt(options.subnetFile, async () => {
    if (!run.env) return;
    if (isSubnetHeld(run)) {
      const subnets = [run.env.subnet, run.env.subnet6].filter(subnet => subnet !== undefined);
      const names = subnets.map(formatPrefix).join(' and ');
      kept.push(`${options.subnetFile}: this node holds ${names}, and flanneld and ripstop read it there`);
      return;
    }
    await rm(options.subnetFile);
    removed.push(options.subnetFile);
  });
  const recordings = join(options.stateDir, RECORDINGS_NAME);
  await attempt(RECORDINGS_NAME, () => rm(recordings, { recursive: true, force: true }));
  for (const name of FILES) await attempt(name, () => rm(join(options.stateDir, name), { force: true }));
  return { removed, kept, failures };
}

async function removeDevices(
  socket: NetlinkSocket,
  { made }: LastRun,
  { flannel }: CleanupOptions,
  attempt: Attempt,
): Promise<string[]> {
  const removed: string[] = [];
  const links = listLinks(socket);
  const own = ownDevices(links, made);
  for (const { name, kind } of links) {
    const isFlannels = flannel && kind === 'vxlan' && /^flannel(-v6)?\.\d+$/.test(name);
    if (!own.includes(name) && !isFlannels) continue;
    await attempt(`device ${name}`, () => {
      if (deleteLink(socket, name)) removed.push(`device ${name}`);
    });
  }
  return removed;
}

/** `ripstop run` uses the same protocol: only routes into the agent's networks are removed. */
async function removeRoutes(
  socket: NetlinkSocket,
  run: LastRun,
  { flannel: fromFlannel }: CleanupOptions,
  attempt: Attempt,
): Promise<string[]> {
  const removed: string[] = [];
  const networks = networksOf(run);
  const lengths = [run.env?.subnet, run.env?.subnet6].flatMap(subnet => subnet?.length ?? []);
  const underlay = run.checkpoint?.underlay?.current.name;
  const leftovers = fromFlannel ? { underlay, lengths } : undefined;
  const ours = observeAllRoutes(socket)
    .filter(route => isOurs(route, { device: undefined, networks, leftovers }))
    .map(({ original }) => original);
  const blackholes = listRoutes(socket, { table: TABLE_MAIN }).filter(route =>
    isBlackhole(route, { networks, formerNetworks: [], fromFlannel }),
  );
  for (const { destination, gateway, link, metric, protocol, type } of [...ours, ...blackholes])
    await attempt(`route ${destination}`, () => {
      if (deleteRoute(socket, { destination, gateway, link, metric, protocol, type }))
        removed.push(`route ${destination}`);
    });
  return removed;
}

/** The pod networks of the last run. */
function networksOf({ env, checkpoint }: LastRun): string[] {
  const networks: (Prefix | undefined)[] = [env?.network, env?.network6];
  try {
    const { text, source } = checkpoint?.config ?? {};
    const config =
      text === undefined ? undefined : parseNetConf(text, source ?? '', { tolerateUnknown: true });
    networks.push(config?.v4, config?.v6);
  } catch {
    // A configuration of another version: `subnet.env` has the networks as well.
  }
  return [...new Set(networks.filter(network => network !== undefined).map(formatPrefix))];
}

/**
 * True when flanneld, or the next agent, needs `subnet.env`: it may be the only memory of the subnet, for instance when the
 * lease is lost in the meantime. A store that assigns the subnets (Kubernetes, a static file) does not need it.
 */
function isSubnetHeld({ env, checkpoint, made }: LastRun): boolean {
  if (!env || (!env.subnet && !env.subnet6)) return false;
  // Without saved state: an agent with a static file ran here, or none.
  if (!checkpoint) return made.length === 0;
  const { lease } = checkpoint;
  if (lease.key !== formatKey(lease)) return false;
  return isSame(env.subnet, lease.v4) && isSame(env.subnet6, lease.v6);
}

function isSame(a: Prefix | undefined, b: Prefix | undefined): boolean {
  return a === undefined || b === undefined ? a === b : isSamePrefix(a, b);
}

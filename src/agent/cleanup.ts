import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '../base/errors.ts';
import { covers, formatPrefix } from '../ip/prefix.ts';
import { deleteLink, listLinks } from '../net/rtnetlink/links.ts';
import { deleteRoute, listRoutes, TABLE_MAIN } from '../net/rtnetlink/routes.ts';
import { NetlinkSocket } from '../net/rtnetlink/socket.ts';
import { readSubnetEnv } from './config/subnet-env.ts';
import { ownDevices, StateDir } from './inputs/state-dir.ts';
import { PROTOCOL_RIPSTOP } from './kernel/state.ts';
import { BLACKHOLE_METRIC } from './overlay/blackhole.ts';
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

/** What was removed, and what could not be removed. */
export interface CleanupReport {
  readonly removed: readonly string[];
  readonly failures: readonly string[];
}

/**
 * Removes everything that the agent made on this node, and nothing else: devices (names in the state directory), routes
 * (by protocol and network), rules (by table and chain) and files. The agent must not run. Sysctls such as ip_forward stay,
 * because other programs may rely on them; the lease expires.
 */
export async function cleanUp(options: CleanupOptions): Promise<CleanupReport> {
  const removed: string[] = [];
  const failures: string[] = [];
  const attempt = async (what: string, work: () => Promise<void> | void): Promise<void> => {
    try {
      await work();
    } catch (error) {
      failures.push(`${what}: ${describeError(error)}`);
    }
  };
  const socket = new NetlinkSocket({ netns: options.netns });
  try {
    const env = await readSubnetEnv(options.subnetFile);
    const networks = [env?.network, env?.network6].filter(cidr => cidr !== undefined).map(formatPrefix);
    const stateDir = new StateDir(options.stateDir);
    const made = await stateDir.devices();
    const links = listLinks(socket);
    const own = ownDevices(links, made);
    for (const { name, kind } of links) {
      const isFlannels = options.flannel && kind === 'vxlan' && /^flannel(-v6)?\.\d+$/.test(name);
      if (!own.includes(name) && !isFlannels) continue;
      await attempt(`device ${name}`, () => {
        if (deleteLink(socket, name)) removed.push(`device ${name}`);
      });
    }
    for (const route of listRoutes(socket, { table: TABLE_MAIN })) {
      // `ripstop run` uses the same protocol: only routes into the agent's network are removed.
      if (!networks.some(network => covers(network, route.destination))) continue;
      const isBlackhole = route.type === 'blackhole' && route.metric === BLACKHOLE_METRIC;
      if (route.protocol !== PROTOCOL_RIPSTOP && !isBlackhole) continue;
      const { destination, gateway, link, metric, protocol, type } = route;
      await attempt(`route ${destination}`, () => {
        if (deleteRoute(socket, { destination, gateway, link, metric, protocol, type }))
          removed.push(`route ${destination}`);
      });
    }
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
    if (!(await readSubnetEnv(options.subnetFile))) return;
    await rm(options.subnetFile);
    removed.push(options.subnetFile);
  });
  for (const name of FILES) await attempt(name, () => rm(join(options.stateDir, name), { force: true }));
  return { removed, failures };
}

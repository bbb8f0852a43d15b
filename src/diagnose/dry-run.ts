import { formatSubnetEnv, readSubnetEnv } from '../agent/config/subnet-env.ts';
import { isOnLink } from '../agent/inputs/link-snapshot.ts';
import type { AgentOptions } from '../agent/inputs/options.ts';
import { isCarriedHere, type OverlayPlan, planOverlays, subnetEnvOf } from '../agent/inputs/plan.ts';
import { InputResolver, type NetworkInputs } from '../agent/inputs/resolve.ts';
import { StateDir } from '../agent/inputs/state-dir.ts';
import { refuseOnUnderlay, underlaySubnets } from '../agent/inputs/underlay-subnets.ts';
import { describeChange, describeConnected } from '../agent/kernel/change.ts';
import { desiredState, overlaySpec } from '../agent/kernel/desired.ts';
import { connectedRoutes, diff } from '../agent/kernel/diff.ts';
import { observe } from '../agent/kernel/observe.ts';
import { ownershipScope } from '../agent/kernel/scope.ts';
import type { DesiredState, ObservedState, OwnershipScope } from '../agent/kernel/state.ts';
import { nextAction } from '../agent/lease/acquire.ts';
import { formatKey, type Lease } from '../agent/lease/lease.ts';
import type { RejectedLease } from '../agent/lease/rejected-lease.ts';
import type { LeaseStore } from '../agent/lease/store.ts';
import { selectPeers } from '../agent/overlay/peer-selector.ts';
import { IptablesRules } from '../agent/rules/iptables.ts';
import { NftablesRules } from '../agent/rules/nftables.ts';
import { withPodInterfaces } from '../agent/rules/pod-interfaces.ts';
import { ruleSet, trafficManager } from '../agent/rules/rule-set.ts';
import { nodeToken } from '../agent/store/node-identity.ts';
import { StaticStore } from '../agent/store/static/store.ts';
import { RipstopError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { NetlinkSocket } from '../net/rtnetlink/socket.ts';
import { leaseLines } from './doctor/lease-faults.ts';

const STORE_MS = 10_000;

/**
 * What an agent with these options would change on this node, one line per change, after one per fault of a lease; changes nothing, neither here nor in
 * the store. For a node where no agent runs yet.
 * @throws RipstopError as the agent would meet it
 */
export async function dryRun(options: AgentOptions, store: LeaseStore, log: Log): Promise<string[]> {
  const socket = new NetlinkSocket({ netns: options.netns });
  try {
    const resolver = new InputResolver(options, store, new StateDir(options.stateDir), socket, log);
    const { config, underlay, macs, settings, attributes } = await resolver.preview();
    const subnets = underlaySubnets(socket, underlay.index);
    const leases = await listOnce(store);
    const former = await readSubnetEnv(options.subnetFile);
    const previous = former && { v4: former.subnet, v6: former.subnet6 };
    const { lease, line } = leaseToBe(
      leases,
      { config, attributes, previous, avoid: subnets },
      store,
      options.nodeName,
    );
    refuseOnUnderlay(lease, subnets, underlay.name);
    const inputs: NetworkInputs = { config, underlay, lease, macs, settings };
    const plans = planOverlays(inputs);
    const rejected = new Map<string, RejectedLease>();
    const steps = plans.flatMap(plan => {
      const onLink = (address: string): boolean => isOnLink(socket, address, underlay.index);
      const selection = selectPeers({ plan, config, own: lease, onLink, underlay: subnets }, leases);
      for (const rejection of selection.rejected)
        rejected.set(`${rejection.key} ${rejection.message}`, rejection);
      const isUserspace = isCarriedHere(plan, options.dataPlane);
      const overlay = overlaySpec(plan, config.backend, underlay, isUserspace, settings.values);
      const wanted = desiredState(overlay, selection.peers);
      const scope = ownershipScope(plan, underlay.name, {
        fromFlannel: options.keepState,
        formerNetworks: [],
      });
      return changes(socket, plan, wanted, scope, isUserspace);
    });
    const env = formatSubnetEnv(subnetEnvOf(inputs, plans, options));
    const isSame = former !== undefined && formatSubnetEnv(former) === env;
    const picture = {
      backend: config.backend.type,
      leases,
      rejected: [...rejected.values()],
      unreadable: store.unreadable,
    };
    return [
      ...settings.faults.map(fault => `! setting ignored: ${fault}`),
      ...leaseLines(picture),
      ...line,
      ...steps,
      ...(options.rules ? await rulesLine(inputs, plans, options) : []),
      ...(isSame ? [] : [`~ file ${options.subnetFile}`]),
    ];
  } finally {
    socket.close();
  }
}

/** Steps of one overlay; a device that the data plane would open is taken as there and bare. */
function changes(
  socket: NetlinkSocket,
  plan: OverlayPlan,
  wanted: DesiredState,
  territory: OwnershipScope,
  isUserspace: boolean,
): string[] {
  const there = observe(socket, territory, wanted);
  const isOpen = there.device?.kind === 'tun';
  const connected = connectedRoutes(wanted.routes, there.routes, territory).map(describeConnected);
  if (!isUserspace || isOpen || !plan.device)
    return [...connected, ...diff(wanted, there, territory).map(describeChange)];
  const opened: ObservedState = {
    ...there,
    neighbours: [],
    forwarding: [],
    routes: there.routes.filter(route => route.device !== plan.device),
    device: {
      index: 0,
      name: plan.device,
      kind: 'tun',
      up: false,
      mtu: 0,
      mac: undefined,
      alias: undefined,
      txQueueLength: 0,
      addresses: [],
      vxlan: undefined,
    },
  };
  const replaced = there.device ? [`- device ${plan.device} (it is a ${there.device.kind} device)`] : [];
  return [
    ...connected,
    ...replaced,
    `+ device ${plan.device} type ${plan.mode === 'vxlan' ? 'tap' : 'tun'}`,
    ...diff(withoutDeviceSettings(wanted, plan.device), opened, territory).map(describeChange),
  ];
}

/** The settings of a device do not exist before the device. */
function withoutDeviceSettings(wanted: DesiredState, device: string): DesiredState {
  return { ...wanted, settings: wanted.settings.filter(({ name }) => !name.includes(`/${device}/`)) };
}

function leaseToBe(
  leases: readonly Lease[],
  wish: Parameters<typeof nextAction>[0],
  store: LeaseStore,
  nodeName: string,
): { lease: Lease; line: string[] } {
  if (store instanceof StaticStore) return { lease: store.ownLease(wish.attributes), line: [] };
  if (!store.allocates) {
    const own = leases.find(lease => lease.key === nodeName);
    if (own) return { lease: own, line: [] };
    throw new RipstopError(
      'ESTORE',
      `Node ${nodeName} has no lease yet`,
      'the agent writes it at its first start',
    );
  }
  const step = nextAction(wish, leases, nodeToken(nodeName), () => 0);
  if (step.do === 'keep') return { lease: { ...step.lease, attributes: wish.attributes }, line: [] };
  const { subnets, drop } = step;
  const dropped = drop.map(stale => `- lease ${stale.key}`);
  const key = formatKey(subnets);
  return {
    lease: { ...subnets, key, attributes: wish.attributes, expiresAt: undefined, node: undefined },
    line: [...dropped, `+ lease ${key} (or another free one)`],
  };
}

async function rulesLine(
  inputs: NetworkInputs,
  plans: readonly OverlayPlan[],
  options: AgentOptions,
): Promise<string[]> {
  const rules = ruleSet(inputs, plans, options);
  const tool = trafficManager(inputs, options) ?? 'nftables';
  const { netns, instance } = options;
  const keeper =
    tool === 'nftables' ? new NftablesRules(netns, instance) : new IptablesRules(netns, instance);
  const isThere =
    tool === 'nftables'
      ? await (keeper as NftablesRules).exists()
      : await keeper.holds(withPodInterfaces(rules, netns));
  return isThere ? [] : [`+ rules with ${tool}`];
}

/** The leases as the store has them now. */
async function listOnce(store: LeaseStore): Promise<readonly Lease[]> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () =>
        reject(
          new RipstopError('ESTORE', `${store.location} did not tell its leases within ${STORE_MS / 1000} s`),
        ),
      STORE_MS,
    );
    const end = (work: () => void): void => {
      clearTimeout(timer);
      work();
    };
    store.follow({
      leases: all => end(() => resolve([...all.values()])),
      config: () => {},
      up: () => {},
      down: error => end(() => reject(error)),
      malformed: () => {},
      conflict: () => {},
    });
  });
}

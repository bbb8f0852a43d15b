import t from 'tap';
import { parseNetConf } from '../../../../src/agent/config/net-conf.ts';
import { planOverlays } from '../../../../src/agent/inputs/plan.ts';
import type { Lease } from '../../../../src/agent/lease/lease.ts';
import { PeerSelector } from '../../../../src/agent/overlay/peer-selector.ts';
import {
  contains,
  formatPrefix,
  isSamePrefix,
  overlaps,
  type Prefix,
  parsePrefix,
} from '../../../../src/ip/prefix.ts';

/*
 * The selector against a slow reference: the same rules, and every lease is compared with every other one at each step.
 */

const seed = Number(process.env.SEED ?? 20261129);
const ROUNDS = 30;
const STEPS = 40;

const MACS = { mac4: '02:00:00:00:00:04', mac6: '02:00:00:00:00:06' };
const UNDERLAY = {
  index: 2,
  name: 'eth0',
  mtu: 1500,
  address4: '192.0.2.1',
  address6: undefined,
  public4: '192.0.2.1',
  public6: undefined,
};
const WIRE = [parsePrefix('10.0.7.0/28')!, parsePrefix('192.0.2.0/24')!];

function generator(start: number): (bound: number) => number {
  let state = start | 1;
  return bound => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

type Life = 'unknown' | 'alive' | 'gone';

function leaseOf(key: string, range: string, host: string, mac: number, life: Life, since: number): Lease {
  return {
    key,
    v4: parsePrefix(range),
    v6: undefined,
    attributes: {
      publicIp: host,
      publicIpv6: undefined,
      backendType: 'vxlan',
      backendData: { VNI: 1, VtepMAC: `0a:00:00:00:00:${mac.toString(16).padStart(2, '0')}` },
      backendV6Data: undefined,
    },
    expiresAt: undefined,
    node: life === 'alive' ? `${key}/1` : undefined,
    isGone: life === 'gone',
    since,
  };
}

/** A peer of the reference: its lease, and where it stands among those of one node. */
interface Member {
  lease: Lease;
  turn: number;
  wasAlive: boolean;
}

const macOf = (lease: Lease) => (lease.attributes.backendData as { VtepMAC: string }).VtepMAC;

const hosts = new Map<string, Prefix>();
/** The reference asks for the same few hosts again and again. */
function hostOf({ attributes: { publicIp } }: Lease): Prefix {
  if (!hosts.has(publicIp!)) hosts.set(publicIp!, parsePrefix(publicIp!)!);
  return hosts.get(publicIp!)!;
}

class Reference {
  readonly #own: Lease;
  readonly #isNodePerLease: boolean;
  readonly peers = new Map<string, Member>();
  readonly #waiting = new Map<string, Member>();
  readonly #displacedBy = new Map<string, string>();
  #turns = 0;

  constructor(own: Lease, isNodePerLease: boolean) {
    this.#own = own;
    this.#isNodePerLease = isNodePerLease;
  }

  get refused(): string[] {
    return [...this.#waiting.keys()].sort();
  }

  change(key: string, lease: Lease | undefined): void {
    const before = this.peers.get(key);
    const known = before ?? this.#waiting.get(key);
    if (!lease) {
      this.peers.delete(key);
      this.#waiting.delete(key);
      this.#displacedBy.delete(key);
      for (const [other, by] of this.#displacedBy) if (by === key) this.#displacedBy.delete(other);
      this.#again();
      return;
    }
    const isSame = known !== undefined && sameText(known.lease, lease);
    const member: Member = {
      lease,
      turn: known?.turn ?? 0,
      wasAlive: lease.node !== undefined || (known !== undefined && isSame && known.wasAlive),
    };
    if (!known || !sameClaim(known.lease, lease)) this.#displacedBy.delete(key);
    this.peers.delete(key);
    this.#waiting.delete(key);
    if (before && sameClaim(before.lease, lease)) this.peers.set(key, member);
    else {
      for (const [other, by] of this.#displacedBy) if (before && by === key) this.#displacedBy.delete(other);
      this.#try(member, before?.lease);
    }
    this.#again();
  }

  /** Everything that waits is tried until nothing changes. */
  #again(): void {
    for (;;) {
      const order = [...this.#waiting.values()].sort(
        (a, b) => a.lease.since! - b.lease.since! || (a.lease.key < b.lease.key ? -1 : 1),
      );
      const taken = order.find(member => {
        this.#waiting.delete(member.lease.key);
        this.#try(member, undefined);
        return this.peers.has(member.lease.key);
      });
      if (!taken) return;
    }
  }

  #try(member: Member, before: Lease | undefined): void {
    const { lease } = member;
    if (this.#isHopeless(lease)) {
      this.#waiting.set(lease.key, member);
      return;
    }
    const displaced: string[] = [];
    for (const [key, other] of this.peers) {
      const kind = this.#conflict(lease, other.lease, before);
      if (!kind) continue;
      const isReturn = this.#displacedBy.get(lease.key) === key && !isGone(member);
      if (!isReturn && !(kind === 'duplicate' && isGone(other) && lease.node !== undefined)) {
        this.#waiting.set(lease.key, member);
        return;
      }
      displaced.push(key);
    }
    if (before?.attributes.publicIp === lease.attributes.publicIp)
      for (const [key, mate] of this.peers)
        if (isSamePrefix(hostOf(mate.lease), hostOf(lease)) && macOf(mate.lease) !== macOf(lease))
          displaced.push(key);
    for (const key of displaced) {
      if (this.#displacedBy.get(lease.key) === key || !isGone(this.peers.get(key)!))
        this.#displacedBy.delete(key);
      else this.#displacedBy.set(key, lease.key);
      for (const [third, by] of this.#displacedBy) if (by === key) this.#displacedBy.delete(third);
      this.#waiting.set(key, this.peers.get(key)!);
      this.peers.delete(key);
    }
    this.#displacedBy.delete(lease.key);
    if (before?.attributes.publicIp !== lease.attributes.publicIp) member.turn = ++this.#turns;
    this.peers.set(lease.key, member);
  }

  #isHopeless(lease: Lease): boolean {
    const own = this.#own;
    return (
      isSamePrefix(hostOf(lease), hostOf(own)) ||
      macOf(lease) === MACS.mac4 ||
      contains(own.v4!, lease.v4!) ||
      contains(own.v4!, hostOf(lease)) ||
      contains(lease.v4!, hostOf(lease)) ||
      WIRE.some(wire => overlaps(wire, lease.v4!))
    );
  }

  #conflict(lease: Lease, other: Lease, before: Lease | undefined): 'duplicate' | 'range' | undefined {
    const isHostNew = !before || !isSamePrefix(hostOf(before), hostOf(lease));
    const isMacNew = isHostNew || macOf(before) !== macOf(lease);
    const isRangeNew = !before || !isSamePrefix(before.v4!, lease.v4!);
    const isSameHost = isSamePrefix(hostOf(lease), hostOf(other));
    const isSameNode = !this.#isNodePerLease && isSameHost && macOf(lease) === macOf(other);
    // A range conflict comes before a duplicate: a range never passes to another node.
    if (isRangeNew && !isSameNode && contains(other.v4!, lease.v4!)) return 'range';
    if (isRangeNew && contains(lease.v4!, hostOf(other))) return 'range';
    if (isHostNew && contains(other.v4!, hostOf(lease))) return 'range';
    if (isSameNode) return undefined;
    if (isHostNew && isSameHost) return 'duplicate';
    return isMacNew && macOf(lease) === macOf(other) ? 'duplicate' : undefined;
  }

  /** The peer that carries an address, by longest prefix; undefined: none. */
  ownerOf(address: Prefix): string | undefined {
    if (contains(this.#own.v4!, address)) return undefined;
    const holders = [...this.peers.values()].filter(({ lease }) => contains(lease.v4!, address));
    return holders.sort((a, b) => b.lease.v4!.length - a.lease.v4!.length)[0]?.lease.attributes.publicIp;
  }
}

function isGone({ lease, wasAlive }: Member): boolean {
  return lease.node === undefined && (lease.isGone === true || wasAlive);
}

function sameClaim(a: Lease, b: Lease): boolean {
  return isSamePrefix(a.v4!, b.v4!) && sameText(a, b);
}

function sameText(a: Lease, b: Lease): boolean {
  return isSamePrefix(hostOf(a), hostOf(b)) && macOf(a) === macOf(b);
}

for (const store of ['a node has subnet keys', 'a node has one lease by its name'] as const)
  t.test(`the selector gives the same as the slow reference: ${store}; SEED=${seed}`, async t => {
    const isNodePerLease = store === 'a node has one lease by its name';
    const config = parseNetConf('{"Network":"10.0.0.0/20","Backend":{"Type":"vxlan"}}', 'x');
    let compared = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const random = generator(seed + round * 7919);
      const pick = <T>(of: readonly T[]): T => of[random(of.length)]!;
      const own = leaseOf(isNodePerLease ? 'own' : '10.0.1.0-28', '10.0.1.0/28', '192.0.2.1', 4, 'alive', 0);
      const plan = planOverlays({ config, underlay: UNDERLAY, lease: own, macs: MACS })[0]!;
      const selector = new PeerSelector({ plan, config, own, onLink: () => true, underlay: WIRE });
      const reference = new Reference(own, isNodePerLease);
      const leases = new Map<string, Lease>();
      for (let step = 0; step < STEPS; step++) {
        const key = `k${random(10)}`;
        const known = leases.get(key);
        const dice = random(10);
        if (known && dice < 2) leases.delete(key);
        else if (known && dice < 5)
          leases.set(
            key,
            leaseOf(
              key,
              formatPrefix(known.v4!),
              known.attributes.publicIp!,
              Number.parseInt(macOf(known).slice(-2), 16),
              pick(['unknown', 'alive', 'gone']),
              known.since!,
            ),
          );
        else {
          const length = pick([26, 27, 28, 28, 28, 29]);
          const value =
            (parsePrefix('10.0.0.0/20')!.value >> BigInt(32 - length)) +
            BigInt(random(2 ** (length - 22)) + (random(8) === 0 ? 2 ** (length - 22) : 0));
          const range = formatPrefix({ family: 4, value: value << BigInt(32 - length), length });
          const host = random(12) === 0 ? `10.0.${random(2)}.${random(256)}` : `198.51.100.${1 + random(6)}`;
          leases.set(
            key,
            leaseOf(
              key,
              range,
              random(25) === 0 ? '192.0.2.1' : host,
              16 + random(6),
              pick(['unknown', 'alive', 'gone']),
              known?.since ?? random(1000),
            ),
          );
        }
        selector.update(leases, [key]);
        reference.change(key, leases.get(key));
        const context = `round ${round} step ${step} ${key}`;
        const refused = [...selector.rejected.keys()].sort();
        if (refused.join() !== reference.refused.join()) {
          t.same(refused, reference.refused, context);
          return;
        }
        const macs = [...selector.peers.values()].map(({ mac }) => mac);
        if (new Set(macs).size < macs.length) {
          t.fail(`${context}: two peers with one MAC: ${macs.join()}`);
          return;
        }
        for (let last = 0; last < 1024; last += 16) {
          const address = parsePrefix(`10.0.${last >> 8}.${last & 255}`)!;
          const holders = [...selector.peers.values()].flatMap(peer =>
            peer.subnets.filter(subnet => contains(subnet, address)).map(({ length }) => ({ peer, length })),
          );
          const owner = holders.sort((a, b) => b.length - a.length)[0]?.peer.address;
          compared++;
          if (owner !== reference.ownerOf(address)) {
            t.equal(owner, reference.ownerOf(address), `${context}: ${formatPrefix(address)}`);
            return;
          }
        }
      }
    }
    t.ok(compared > 10_000, `${compared} comparisons`);
  });

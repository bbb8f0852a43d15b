import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent } from '../../agent/agent.ts';
import type { Overlay } from '../../agent/overlay/overlay.ts';
import { RipstopError } from '../../base/errors.ts';
import { encapsulationOf } from '../../capture/live/context.ts';
import { readRecordStream } from '../../capture/live/record-stream.ts';
import type { Peer } from '../../dataplane/descriptor/peer.ts';
import type { Family } from '../../ip/address.ts';
import { baseAddress } from '../../ip/prefix.ts';
import { IcmpEchoSocket } from '../../net/icmp-echo-socket.ts';
import { FrameSocket } from '../../net/packet/frame-socket.ts';
import { wallMs } from '../../net/packet/wall-clock.ts';
import { findLink } from '../../net/rtnetlink/links.ts';
import { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { budgetOf, type EchoTimes, type Latency } from './budget.ts';
import { bytesToKeep, echoFilter, echoMessage, echoSequence, innerOffset } from './echo-packets.ts';

/*
 * The budget of round trips to a peer: echoes go through the tunnel one by one, and each is seen at the device and at the
 * socket by a capture of the data plane, at the underlay device by a packet socket, and at its return by the time stamp of the
 * kernel. An echo over the underlay after each says which part of the time away is the network's.
 */

const COUNT_MAX = 200;
const COUNT = 20;
const TIMEOUT_MS = 2000;
const LOOK_MS = 2;
/** Between two echoes, so that each has a batch of its own. */
const PAUSE_MS = 20;
/** Until the capture has begun, and until it has told of the last packets. */
const SETTLE_MS = 100;
/** Bytes of a captured packet: encapsulation, Ethernet, IP and ICMP headers. */
const SNAP_LENGTH = 128;
const FRAME_BUFFER_BYTES = 1 << 20;
const ETHERNET_BYTES = 14;

interface Way {
  readonly overlay: Overlay;
  readonly peer: Peer;
  readonly tunnelAddress: string;
}

/**
 * Answers `?peer=NAME&count=20`.
 * @throws RipstopError ECONFIG for a peer or a count that is not valid, EAGENT without a tunnel to it; NetError EPERM
 */
export async function latencyOf(agent: Agent, query: URLSearchParams): Promise<Latency> {
  const count = Number(query.get('count') ?? COUNT);
  if (!Number.isInteger(count) || count < 1 || count > COUNT_MAX)
    throw new RipstopError(
      'ECONFIG',
      `count "${query.get('count')}" is not a whole number from 1 to ${COUNT_MAX}`,
    );
  const way = wayTo(agent, query.get('peer') ?? '');
  const { overlay, peer, tunnelAddress } = way;
  const echoes = await measure(way, agent.options.netns, agent.network?.inputs.underlay.name, count);
  return {
    peer: peer.node ?? peer.id,
    address: peer.address,
    tunnelAddress,
    device: overlay.plan.device ?? '',
    ...budgetOf(echoes),
  };
}

function wayTo(agent: Agent, name: string): Way {
  const overlays = agent.network?.overlays ?? [];
  const peers = overlays.flatMap(overlay => overlay.peers.map(peer => ({ overlay, peer })));
  const found = peers.find(({ peer: { id, node, address } }) => [id, node, address].includes(name));
  if (!found) {
    const known = peers.map(({ peer }) => peer.node ?? peer.id).slice(0, 10);
    throw new RipstopError(
      'ECONFIG',
      `there is no peer "${name}"`,
      known.length > 0
        ? `known are ${[...new Set(known)].join(', ')} (\`ripstop peers\`)`
        : 'this node has no peers yet',
    );
  }
  const [subnet] = found.peer.subnets;
  if (!found.overlay.capture || found.peer.direct || subnet === undefined)
    throw new RipstopError(
      'EAGENT',
      `Ripstop does not carry the packets to ${name}`,
      'they go by plain routes or by the kernel; use ping',
    );
  return { ...found, tunnelAddress: baseAddress(subnet) };
}

async function measure(
  { overlay, peer, tunnelAddress }: Way,
  netns: string,
  underlay: string | undefined,
  count: number,
): Promise<EchoTimes[]> {
  const inner = familyOf(tunnelAddress);
  const outer = familyOf(peer.address);
  const id = randomInt(1, 0xffff);
  // Of the echoes that are in no tunnel.
  const directId = id + 1;
  const stop = new AbortController();
  const echoes: EchoTimes[] = [];
  const opened: { close(): void }[] = [];
  const open = <T extends { close(): void }>(socket: T): T => {
    opened.push(socket);
    return socket;
  };
  try {
    const tunnel = open(new IcmpEchoSocket(netns, inner, id));
    const direct = open(new IcmpEchoSocket(netns, outer, directId));
    const chunks = await overlay.capture?.start({ snapLength: SNAP_LENGTH, peer: peer.id }, stop.signal);
    if (!chunks) throw new RipstopError('EAGENT', 'the data plane has ended', 'repeat the command');
    const stream = await readRecordStream(chunks);
    const { inner: link, headerBytes } = encapsulationOf(stream.context);
    const linkBytes = link === 'ethernet' ? ETHERNET_BYTES : 0;
    const offset = innerOffset(outer, headerBytes + linkBytes);
    const frames = openFrames(netns, underlay, bytesToKeep(offset, inner));
    if (frames) open(frames).filter(echoFilter(offset, inner, id));
    const seen = follow(stream.batches(), echoes, { inner, id, linkBytes, headerBytes });
    // It is awaited at the end, which an error may precede.
    seen.catch(() => {});
    await sleep(SETTLE_MS);
    for (let sequence = 0; sequence < count; sequence++) {
      const message = echoMessage(inner, id, sequence);
      const times: EchoTimes = { sent: wallMs() };
      echoes.push(times);
      tunnel.send(tunnelAddress, message);
      const arrived = await answer(tunnel, inner, id, sequence);
      if (arrived !== undefined) times.arrived = arrived;
      times.underlay = await directEcho(direct, peer.address, outer, directId, sequence);
      await sleep(PAUSE_MS);
      for (let passed = frames?.read() ?? []; passed.length > 0; passed = frames?.read() ?? [])
        for (const frame of passed) noteFrame(frame, echoes, { inner, id, offset });
    }
    await sleep(SETTLE_MS);
    stop.abort();
    await seen;
    return echoes;
  } finally {
    stop.abort();
    for (const socket of opened) socket.close();
  }
}

const familyOf = (address: string): Family => (address.includes(':') ? 6 : 4);

/** The frames of the underlay device; undefined where there is none with this name. */
function openFrames(
  netns: string,
  underlay: string | undefined,
  snapLength: number,
): FrameSocket | undefined {
  const socket = new NetlinkSocket({ netns });
  try {
    const link = underlay === undefined ? undefined : findLink(socket, underlay);
    return link && new FrameSocket(netns, link.index, snapLength, FRAME_BUFFER_BYTES);
  } finally {
    socket.close();
  }
}

/** Waits for the answer with this number. @returns when it arrived; undefined when none came in time */
async function answer(
  socket: IcmpEchoSocket,
  family: Family,
  id: number,
  sequence: number,
): Promise<number | undefined> {
  const deadline = performance.now() + TIMEOUT_MS;
  do {
    for (let reply = socket.receive(); reply; reply = socket.receive()) {
      // The raw socket of IPv6 gives no IP header.
      const at = family === 4 ? 0 : -40;
      if (echoSequence(reply.packet, at, family, id, 'reply') === sequence) return wallMs() - reply.ageMs;
    }
    await sleep(LOOK_MS);
  } while (performance.now() < deadline);
  return undefined;
}

async function directEcho(
  socket: IcmpEchoSocket,
  address: string,
  family: Family,
  id: number,
  sequence: number,
): Promise<number | undefined> {
  const message = echoMessage(family, id, sequence);
  const sent = wallMs();
  socket.send(address, message);
  const arrived = await answer(socket, family, id, sequence);
  return arrived === undefined ? undefined : Math.max(0, arrived - sent);
}

interface Places {
  readonly inner: Family;
  readonly id: number;
}

/** Notes when the workers read the echoes and their answers, and when they were done with deciding. */
async function follow(
  batches: ReturnType<Awaited<ReturnType<typeof readRecordStream>>['batches']>,
  echoes: readonly EchoTimes[],
  { inner, id, linkBytes, headerBytes }: Places & { linkBytes: number; headerBytes: number },
): Promise<void> {
  for await (const records of batches)
    for (const { direction, bytes, time, tookNs, decidedNs } of records) {
      const isEgress = direction === 'egress';
      const at = linkBytes + (isEgress ? 0 : headerBytes);
      const times = echoes[echoSequence(bytes, at, inner, id, isEgress ? 'request' : 'reply') ?? -1];
      if (!times) continue;
      const read = millisecondsOf(time - BigInt(tookNs));
      const decided = read + decidedNs / 1e6;
      if (isEgress) Object.assign(times, { read, decided });
      else Object.assign(times, { received: read, accepted: decided });
    }
}

function noteFrame(
  { bytes, isOutgoing, time }: ReturnType<FrameSocket['read']>[number],
  echoes: readonly EchoTimes[],
  { inner, id, offset }: Places & { offset: number },
): void {
  const times = echoes[echoSequence(bytes, offset, inner, id, isOutgoing ? 'request' : 'reply') ?? -1];
  if (!times) return;
  if (isOutgoing) times.left = millisecondsOf(time);
  else times.returned = millisecondsOf(time);
}

function millisecondsOf(nanoseconds: bigint): number {
  return Number(nanoseconds / 1000n) / 1000;
}

import { randomBytes } from 'node:crypto';
import {
  emitPacket,
  ipBytes,
  type ProofMessage,
  type ProofPacket,
  parsePacket,
} from '../../../encap/offload-proof.ts';
import type { DataPlane } from '../../dataplane/dataplane.ts';
import type { Peer } from '../../dataplane/descriptor/peer.ts';
import { addressBytes } from '../../ip/address.ts';
import { baseAddress, requirePrefix } from '../../ip/prefix.ts';
import type { Overlay } from '../overlay/overlay.ts';
import { ArrivalBook } from './arrivals.ts';
import { PeerProof, type ProofActions, type SegmentationState } from './peer-proof.ts';
import type { TrainShape } from './shapes.ts';

/** A new peer is not tried before this time, in which it learns of this node. */
const SETTLED_MS = 5000;
/** Peers that are tried at once. Their trains, 130 KB at most, follow each other by more than ARRIVE_MS. */
const AT_ONCE = 4;
/** Interval at which the list of peers and what is due are looked at. */
const LOOK_MS = 500;

/** The part of an overlay that the trials depend on. */
export type ProvenOverlay = Pick<Overlay, 'plan' | 'peers' | 'peer'>;
/** The part of its data plane. */
export type ProvenPlane = Pick<DataPlane, 'proofs' | 'offloads' | 'setSegmentation'>;

interface ProverOptions {
  readonly overlay: ProvenOverlay;
  readonly plane: ProvenPlane;
  readonly intervalMs: number;
  /** Segmentation towards a peer was found broken, or works again. */
  readonly changed: (proof: PeerProof) => void;
}

/**
 * Tries segmentation offload towards the peers of one overlay that announce that they answer, answers their trials, and switches the
 * offload off for a peer whose trains are broken. It ends with the data plane.
 */
export class OverlayProver {
  readonly #options: ProverOptions;
  /** By id of the peer. */
  #proofs = new Map<string, PeerProof>();
  readonly #arrivals = new ArrivalBook();
  #list: readonly Peer[] | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #running: PeerProof[] = [];

  constructor(options: ProverOptions) {
    this.#options = options;
  }

  /** Undefined where no trains are sent to the peer. */
  of({ id }: Peer): SegmentationState | undefined {
    return this.#proofs.get(id)?.state;
  }

  /** Takes in what arrived, answers it, and makes the next step of each trial. @param nowMs monotonic */
  tick(nowMs: number): void {
    this.#receive(nowMs);
    if (nowMs - this.#lookedAt >= LOOK_MS) {
      this.#lookedAt = nowMs;
      this.#follow(nowMs);
      this.#beginDue(nowMs);
    }
    for (const proof of this.#running)
      if (proof.step(nowMs, this.#actions(proof.peer))) {
        this.#options.plane.setSegmentation(proof.peer.id, proof.state.state !== 'broken');
        this.#options.changed(proof);
      }
    this.#running = this.#running.filter(({ isRunning }) => isRunning);
  }

  /** Questions are answered when all rings are empty: another worker may have received the train. */
  #receive(nowMs: number): void {
    const questions: { peer: Peer; packet: ProofPacket; nonce: string }[] = [];
    this.#options.plane.proofs.receive((id, bytes) => {
      const peer = this.#options.overlay.peer(id);
      const packet = parsePacket(bytes);
      if (!packet || !peer?.provesOffloads || !isTunnelAddress(peer, packet.source)) return;
      const { message } = packet;
      const nonce = Buffer.from(message.nonce).toString('hex');
      if (message.kind === 'question') questions.push({ peer, packet, nonce });
      else if (message.kind === 'answer') this.#proofs.get(id)?.answered(nonce, message);
      else this.#arrivals.note(id, nonce, message.kind, message.place);
    });
    for (const { peer, packet, nonce } of questions) {
      const arrivals = this.#arrivals.answer(peer.id, nonce, nowMs);
      if (!arrivals) continue;
      const message = { kind: 'answer', nonce: packet.message.nonce, ...arrivals } as const;
      this.#send(peer.id, () => [message], false);
    }
  }

  /** Takes over the list of peers. */
  #follow(nowMs: number): void {
    const { overlay, plane, intervalMs } = this.#options;
    if (overlay.peers === this.#list) return;
    this.#list = overlay.peers;
    const before = this.#proofs;
    this.#proofs = new Map();
    for (const peer of overlay.peers) {
      const known = before.get(peer.id);
      if (!peer.provesOffloads || peer.direct || !addressesTo(overlay, peer)) {
        if (known?.state.state === 'broken') plane.setSegmentation(peer.id, true);
        continue;
      }
      const isSame = known?.peer.address === peer.address;
      const dueAt = nowMs + Math.min(SETTLED_MS, intervalMs);
      this.#proofs.set(peer.id, isSame ? known : new PeerProof(peer, dueAt, intervalMs));
    }
    this.#running = this.#running.filter(proof => this.#proofs.get(proof.peer.id) === proof);
    this.#arrivals.keep(id => overlay.peer(id) !== undefined);
  }

  #beginDue(nowMs: number): void {
    const { proofs, offloads } = this.#options.plane;
    // Where this node sends one by one anyway, it answers only.
    if (offloads.udpGso !== 'on' || this.#running.length >= AT_ONCE) return;
    const due = [...this.#proofs.values()].filter(proof => !proof.isRunning && proof.dueAt <= nowMs);
    due.sort((a, b) => a.dueAt - b.dueAt);
    for (const proof of due) {
      if (this.#running.length >= AT_ONCE) return;
      const limits = proofs.limits(proof.peer.id);
      if (!limits) continue;
      proof.begin(limits);
      this.#running.push(proof);
    }
  }

  #actions({ id }: Peer): ProofActions {
    return {
      nonce: () => randomBytes(16).toString('hex'),
      train: (nonce, shape) =>
        this.#send(id, bytes => samples('train', nonce, shape, bytes), true) &&
        this.#send(id, bytes => samples('alone', nonce, shape, bytes), false),
      ask: nonce => this.#send(id, () => [{ kind: 'question', nonce: Buffer.from(nonce, 'hex') }], false),
    };
  }

  /** @param make makes the messages; gets the bytes of the IP header in front of each */
  #send(id: string, make: (headerBytes: number) => readonly ProofMessage[], isTrain: boolean): boolean {
    const { overlay, plane } = this.#options;
    const peer = overlay.peer(id);
    const addresses = peer && addressesTo(overlay, peer);
    if (!addresses) return false;
    const messages = make(ipBytes(addresses.source.length));
    const packets = messages.map(message => emitPacket({ ...addresses, message }));
    return plane.proofs.send(id, packets, isTrain);
  }
}

/** The datagrams of a train, or the same alone. */
function samples(
  kind: 'train' | 'alone',
  nonceText: string,
  { segments, bytes, tail }: TrainShape,
  headerBytes: number,
): ProofMessage[] {
  const nonce = Buffer.from(nonceText, 'hex');
  return Array.from({ length: segments }, (_, place) => ({
    ...{ kind, nonce, place },
    length: (place === segments - 1 ? tail : bytes) - headerBytes,
  }));
}

/** Tunnel addresses of this node and of a peer, of the family of its first subnet; undefined: this node has none of it. */
function addressesTo(
  { plan }: ProvenOverlay,
  { subnets: [to] }: Peer,
): Omit<ProofPacket, 'message'> | undefined {
  const from = plan.subnets.map(requirePrefix).find(({ family }) => family === to?.family);
  if (!from || !to) return undefined;
  return { source: addressBytes(baseAddress(from)), destination: addressBytes(baseAddress(to)) };
}

/** True for the address at which the tunnel of the peer ends: the first of a subnet of its. */
function isTunnelAddress({ subnets }: Peer, source: Uint8Array): boolean {
  return subnets.some(subnet => Buffer.from(source).equals(addressBytes(baseAddress(subnet))));
}

import { elementAt } from '../../base/at.ts';
import * as fields from '../descriptor/descriptor.ts';
import { type Batch, createBatch, FRAME_MAX } from '../descriptor/descriptor.ts';
import { SOURCE_STRIDE } from '../descriptor/source.ts';
import { type PeerRecord, readPeer } from '../tables/peer-table.ts';
import { currentView, openTables, type Tables } from '../tables/tables.ts';
import { classifyEgress, type EgressConfig } from './classify-egress.ts';
import { classifyIngress, type IngressConfig } from './classify-ingress.ts';

/** The forwarder's decision about a frame. */
interface Classification {
  /** Number of the verdict. */
  readonly verdict: number;
  /** Peer slot, -1 for none. */
  readonly peer: number;
  /** Egress: index of the sending socket, and traffic class of the outer header. */
  readonly socket: number;
  readonly trafficClass: number;
  /** What the senders use of the peer; undefined without one. */
  readonly record: PeerRecord | undefined;
}

/**
 * Classifies a frame or a datagram by the live tables with the code of the workers, without effects: it counts, answers
 * and sends nothing. For the control thread, which publishes the tables, so that they cannot change meanwhile.
 */
export class DryRunClassifier {
  readonly #tables: Tables;
  readonly #config: { readonly egress: EgressConfig; readonly ingress: IngressConfig };
  readonly #batch: Batch = createBatch(1, FRAME_MAX + 256);

  constructor(tables: SharedArrayBuffer, rules: { egress: EgressConfig; ingress: IngressConfig }) {
    this.#tables = openTables(tables);
    this.#config = rules;
  }

  /** @param frame as the device would hand it over */
  egress(frame: Uint8Array): Classification {
    this.#load(frame);
    classifyEgress(this.#batch, 1, currentView(this.#tables), this.#config.egress);
    return this.#classification();
  }

  /**
   * @param payload of the datagram
   * @param source underlay address that it comes from, 16 bytes, IPv4 mapped
   */
  ingress(payload: Uint8Array, source: Uint8Array): Classification {
    this.#load(payload);
    const sources = new Int32Array(SOURCE_STRIDE);
    new Uint8Array(sources.buffer).set(source);
    classifyIngress(this.#batch, 1, sources, currentView(this.#tables), this.#config.ingress);
    return this.#classification();
  }

  #load(bytes: Uint8Array): void {
    const { table, slab } = this.#batch;
    table.fill(0);
    slab.set(bytes);
    table[fields.DESC_LENGTH] = bytes.length;
  }

  #classification(): Classification {
    const { table } = this.#batch;
    const peer = elementAt(table, fields.DESC_PEER);
    const socket = elementAt(table, fields.DESC_SOCKET);
    return {
      verdict: elementAt(table, fields.DESC_VERDICT),
      peer,
      socket: socket & fields.SOCKET_MASK,
      trafficClass: socket >>> fields.SOCKET_CLASS_SHIFT,
      record: peer < 0 ? undefined : readPeer(currentView(this.#tables).peers, peer),
    };
  }
}

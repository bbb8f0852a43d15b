import { describePacket } from '../../capture/decode/text.ts';
import type { Outcome, TraceAnswer, TraceStep } from './answer.ts';
import type { TracePacket } from './packet.ts';

/** The steps of a packet, in the order in which they are looked at, up to a verdict. */
export class TraceRecorder {
  readonly #steps: TraceStep[] = [];
  readonly #node: string;
  readonly #packet: TracePacket;
  ingressPeer: string | null = null;

  constructor(node: string, packet: TracePacket) {
    this.#node = node;
    this.#packet = packet;
  }

  pass(step: string, text: string): void {
    this.#steps.push({ step, ok: true, text });
  }

  end(outcome: Outcome, verdict: string, departure: TraceAnswer['departure'] = null): TraceAnswer {
    return this.#answer(outcome, verdict, null, departure);
  }

  /** The step at which the packet is lost. */
  lose(step: string, text: string, remedy: string, verdict = `lost: ${text}`): TraceAnswer {
    this.#steps.push({ step, ok: false, text });
    return this.#answer('dropped', verdict, remedy, null);
  }

  #answer(
    outcome: Outcome,
    verdict: string,
    remedy: string | null,
    departure: TraceAnswer['departure'],
  ): TraceAnswer {
    const packet = describePacket(this.#packet.bytes, 'ip');
    const { ingressPeer } = this;
    return { node: this.#node, packet, steps: this.#steps, outcome, verdict, remedy, departure, ingressPeer };
  }
}

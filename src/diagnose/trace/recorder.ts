import { describePacket } from '../../capture/decode/text.ts';
import type { Fate, TraceAnswer, TraceStep } from './answer.ts';
import type { TracePacket } from './packet.ts';

/** The steps of a packet, in the order in which they are looked at, up to a verdict. */
export class Trail {
  readonly #steps: TraceStep[] = [];
  readonly #node: string;
  readonly #packet: TracePacket;
  cameFrom: string | null = null;

  constructor(node: string, packet: TracePacket) {
    this.#node = node;
    this.#packet = packet;
  }

  pass(step: string, text: string): void {
    this.#steps.push({ step, ok: true, text });
  }

  end(fate: Fate, verdict: string, departure: TraceAnswer['departure'] = null): TraceAnswer {
    return this.#answer(fate, verdict, null, departure);
  }

  /** The step at which the packet is lost. */
  lose(step: string, text: string, remedy: string, verdict = `lost: ${text}`): TraceAnswer {
    this.#steps.push({ step, ok: false, text });
    return this.#answer('dropped', verdict, remedy, null);
  }

  #answer(
    fate: Fate,
    verdict: string,
    remedy: string | null,
    departure: TraceAnswer['departure'],
  ): TraceAnswer {
    const packet = describePacket(this.#packet.bytes, 'ip');
    const { cameFrom } = this;
    return { node: this.#node, packet, steps: this.#steps, fate, verdict, remedy, departure, cameFrom };
  }
}

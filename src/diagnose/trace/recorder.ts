import { describePacket } from '../../capture/decode/text.ts';
import { type Outcome, type TraceAnswer, type TraceStep, unknownVerdict } from './answer.ts';
import type { KernelLookup } from './kernel/kernel-lookup.ts';
import type { TraceNode } from './node.ts';
import type { TracePacket } from './packet.ts';

/** One trace: the packet, what it is traced against, and its steps in order up to a verdict. */
export class TraceRecorder {
  readonly node: TraceNode;
  readonly kernel: KernelLookup;
  /** As it begins here, before masquerading. */
  readonly packet: TracePacket;
  readonly #steps: TraceStep[] = [];
  ingressPeer: string | null = null;

  constructor(node: TraceNode, kernel: KernelLookup, packet: TracePacket) {
    this.node = node;
    this.kernel = kernel;
    this.packet = packet;
  }

  pass(step: string, text: string): void {
    this.#steps.push({ step, ok: true, certain: true, text });
  }

  /** A step at which the packet may be lost: that depends on what cannot be seen from here. */
  doubt(step: string, text: string): void {
    this.#steps.push({ step, ok: true, certain: false, text });
  }

  /** @param outcome what happens unless the packet is lost at a step in doubt */
  end(
    outcome: Exclude<Outcome, 'dropped' | 'unknown'>,
    verdict: string,
    departure: TraceAnswer['departure'] = null,
  ): TraceAnswer {
    const doubt = this.#steps.find(({ certain }) => !certain);
    return doubt
      ? this.#answer({ outcome: 'unknown', verdict: unknownVerdict(doubt, verdict), remedy: null, departure })
      : this.#answer({ outcome, verdict, remedy: null, departure });
  }

  /** The step at which the packet is lost. */
  lose(step: string, text: string, remedy: string, verdict = `lost: ${text}`): TraceAnswer {
    this.#steps.push({ step, ok: false, certain: true, text });
    return this.#answer({ outcome: 'dropped', verdict, remedy, departure: null });
  }

  #answer(end: Pick<TraceAnswer, 'outcome' | 'verdict' | 'remedy' | 'departure'>): TraceAnswer {
    const packet = describePacket(this.packet.bytes, 'ip');
    return { node: this.node.name, packet, steps: this.#steps, ingressPeer: this.ingressPeer, ...end };
  }
}

import { formatIp } from '../../../encap/wire/addresses.ts';
import { RST } from '../../../encap/wire/tcp.ts';
import { elementAt } from '../../base/at.ts';
import { OUTER_VERDICTS } from '../../dataplane/descriptor/verdicts.ts';
import { isKept, keptDistance, keptEnd } from '../../dataplane/tap/kept-ring.ts';
import { KIND_INGRESS } from '../../dataplane/tap/record-layout.ts';
import { EGRESS, FlowFields, INGRESS, reverseKey } from '../flows/flow-fields.ts';
import type { HeaderRing, HeaderStore } from './header-store.ts';
import { type FrameLayout, innerBytes, keptVerdict } from './kept-frame.ts';

/** Frames of each ring that are looked at per call, the newest ones: at most some 20 ms on the control thread. */
const FRAMES_MAX = 16_384;
/** RSTs per call of which earlier data is looked for. */
const RESETS_MAX = 16;

/** Finds connections that a RST ended after they had carried data, among the newest recorded headers. */
export class ResetWatch {
  readonly #store: HeaderStore;
  readonly #layout: FrameLayout;
  readonly #fields = new FlowFields();
  /** Positions up to which the rings were searched. */
  #seen: number[];

  constructor(store: HeaderStore, layout: FrameLayout) {
    this.#store = store;
    this.#layout = layout;
    this.#seen = store.rings.map(({ ring }) => keptEnd(ring));
  }

  /** Looks at the frames since the last call. @returns the connection of one such RST, undefined for none */
  find(): string | undefined {
    const resets = this.#resets();
    if (resets.length === 0) return undefined;
    for (const at of this.#store.rings.keys())
      for (const _ of this.#newest(at)) {
        if (this.#fields.payload === 0) continue;
        const { key } = this.#fields;
        const reset = resets.find(one => isEqual(one.key, key) || isEqual(one.reversed, key));
        if (reset) return describeFlow(reset.key);
      }
    return undefined;
  }

  /** The RSTs since the last call. */
  #resets(): { readonly key: Int32Array; readonly reversed: Int32Array }[] {
    const found: { key: Int32Array; reversed: Int32Array }[] = [];
    for (const at of this.#store.rings.keys())
      for (const _ of this.#newest(at, this.#seen[at])) {
        if ((this.#fields.flags & RST) === 0 || found.length === RESETS_MAX) continue;
        const key = this.#fields.key.slice();
        const reversed = new Int32Array(key.length);
        reverseKey(key, reversed);
        found.push({ key, reversed });
      }
    this.#seen = this.#store.rings.map(({ ring }) => keptEnd(ring));
    return found;
  }

  /** Reads the newest TCP frames of a ring into `#fields`, one after the other. @param from leaves out those before it */
  *#newest(at: number, from?: number): Generator<void, void, void> {
    const ring = elementAt(this.#store.rings, at);
    const { modulus } = ring.ring;
    const { start, end } = this.#store.span(at, from);
    const skipped = Math.max(0, keptDistance(ring.ring, start, end) - FRAMES_MAX);
    for (let position = (start + skipped) % modulus; position !== end; position = (position + 1) % modulus)
      if (this.#read(ring, position, this.#fields)) yield;
  }

  /** Reads the headers of a frame. @returns whether it is TCP, and was not overwritten meanwhile */
  #read({ ring, kind }: HeaderRing, position: number, fields: FlowFields): boolean {
    if (OUTER_VERDICTS.includes(keptVerdict(ring, position))) return false;
    const ingress = kind === KIND_INGRESS;
    const { at, captured, length, segment } = innerBytes(
      ring,
      position,
      ingress ? this.#layout.headerBytes : 0,
    );
    const direction = ingress ? INGRESS : EGRESS;
    return (
      fields.read(ring.view, at, captured, length, this.#layout.link, segment, direction) &&
      fields.isTcp &&
      isKept(ring, position)
    );
  }
}

function isEqual(a: Int32Array, b: Int32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** `10.244.1.2:40000 to 10.244.2.3:80`. */
function describeFlow(key: Int32Array): string {
  const ports = key[1] ?? 0;
  const six = ((key[0] ?? 0) >> 8) & 1;
  const end = (word: number, port: number) => {
    const bytes = new DataView(new ArrayBuffer(16));
    for (let i = 0; i < 4; i++) bytes.setInt32(4 * i, key[word + i] ?? 0);
    if (six === 0) bytes.setInt32(8, 0xffff);
    const address = formatIp(bytes, 0);
    return six === 0 ? `${address}:${port}` : `[${address}]:${port}`;
  };
  return `${end(2, ports >>> 16)} to ${end(6, ports & 0xffff)}`;
}

import { formatIp } from '../../../encap/wire/addresses.ts';
import { RST } from '../../../encap/wire/tcp.ts';
import { OUTER_VERDICTS } from '../../dataplane/descriptor/verdicts.ts';
import { isKept, type KeptRing, type KeptSpan, keptEnd, keptSpan } from '../../dataplane/tap/kept-ring.ts';
import { KIND_INGRESS } from '../../dataplane/tap/record-layout.ts';
import { EGRESS, FlowFields, INGRESS, reverseKey } from '../flows/flow-fields.ts';
import type { HeaderRing, HeaderStore } from './header-store.ts';
import { type FrameLayout, innerBytes, keptVerdict } from './kept-frame.ts';

/** Searches for earlier data of a connection per call: each looks through all headers. */
const SEARCHES_MAX = 4;

/** Finds connections that a RST ended after they had carried data, among the recorded headers. */
export class ResetWatch {
  readonly #store: HeaderStore;
  readonly #layout: FrameLayout;
  readonly #fields = new FlowFields();
  readonly #reset = new FlowFields();
  readonly #reversed = new Int32Array(this.#fields.key.length);
  /** Positions up to which the rings were searched. */
  readonly #seen: number[];

  constructor(store: HeaderStore, layout: FrameLayout) {
    this.#store = store;
    this.#layout = layout;
    this.#seen = store.rings.map(({ ring }) => keptEnd(ring));
  }

  /** Looks at the frames since the last call. @returns the connection of the first such RST, undefined for none */
  find(): string | undefined {
    let searches = 0;
    let found: string | undefined;
    for (const [worker, ring] of this.#store.rings.entries()) {
      const span = keptSpan(ring.ring, this.#seen[worker]);
      for (const position of positions(ring.ring, span)) {
        if (found !== undefined || searches === SEARCHES_MAX) break;
        if (!this.#read(ring, position, this.#reset) || (this.#reset.flags & RST) === 0) continue;
        searches++;
        if (this.#hadData()) found = describeFlow(this.#reset.key);
      }
      this.#seen[worker] = span.end;
    }
    return found;
  }

  /** True if the connection of `#reset` carried data in either direction. */
  #hadData(): boolean {
    const { key } = this.#reset;
    reverseKey(key, this.#reversed);
    for (const ring of this.#store.rings)
      for (const position of positions(ring.ring, keptSpan(ring.ring)))
        if (
          this.#read(ring, position, this.#fields) &&
          this.#fields.payload > 0 &&
          (isEqual(this.#fields.key, key) || isEqual(this.#fields.key, this.#reversed))
        )
          return true;
    return false;
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

function* positions({ modulus }: KeptRing, { start, end }: KeptSpan): Generator<number, void, void> {
  for (let position = start; position !== end; position = (position + 1) % modulus) yield position;
}

function isEqual(a: Int32Array, b: Int32Array): boolean {
  return a.every((word, index) => word === b[index]);
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

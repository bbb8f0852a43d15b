import { viewOf } from '../../../../encap/wire/addresses.ts';
import type { ByteSource } from '../byte-source.ts';
import type { CaptureInterface, Packet } from '../packet.ts';
import { broken, type CaptureReader } from '../reader.ts';
import * as ng from './blocks.ts';
import { readInterface, readPacket, type TimeUnit } from './decode.ts';

/** Maximum bytes of a block in memory: a packet of libpcap's maximum size with its comments. */
const BLOCK_MAX = 1 << 20;
/** Limits the memory that a malicious file can occupy. */
const INTERFACES_MAX = 4096;
const SKIP_STEP = 65536;
/** The block types that are read, with their minimum lengths. */
const MINIMUMS: ReadonlyMap<number, number> = new Map([
  [ng.SECTION_HEADER, ng.BLOCK_FRAME + 16],
  [ng.INTERFACE_DESCRIPTION, ng.BLOCK_FRAME + 8],
  [ng.SIMPLE_PACKET, ng.BLOCK_FRAME + 4],
  [ng.OLD_PACKET, ng.BLOCK_FRAME + ng.ENHANCED_PACKET_FIXED],
  [ng.ENHANCED_PACKET, ng.BLOCK_FRAME + ng.ENHANCED_PACKET_FIXED],
]);

/** One interface of the section being read. */
interface SectionInterface {
  /** Index among the interfaces of the whole file. */
  readonly index: number;
  readonly snapLength: number;
  readonly unit: TimeUnit;
}

/**
 * Reads pcapng (draft-ietf-opsawg-pcapng): both byte orders, several sections, each with its own interfaces and time
 * resolutions; enhanced, simple and obsolete packet blocks. Other blocks are skipped. Holds one block at a time.
 */
export class PcapngReader implements CaptureReader {
  readonly interfaces: CaptureInterface[] = [];
  readonly sections: number[] = [];
  readonly #source: ByteSource;
  readonly #name: string;
  #little = true;
  #sections = 0;
  #section: SectionInterface[] = [];

  constructor(source: ByteSource, name: string) {
    this.#source = source;
    this.#name = name;
  }

  async *packets(): AsyncGenerator<Packet, void, void> {
    const source = this.#source;
    try {
      for (;;) {
        if (!(await source.fill(12))) {
          if (source.ready > 0)
            this.#fail(`the file ends inside a block header (${source.ready} of 12 bytes)`);
          if (this.#sections === 0) this.#fail('no section header');
          return;
        }
        const head = viewOf(source.peek(12));
        if (head.getUint32(0) === ng.SECTION_HEADER) this.#chooseOrder(head.getUint32(8));
        const type = head.getUint32(0, this.#little);
        const length = head.getUint32(4, this.#little);
        if (this.#sections === 0 && type !== ng.SECTION_HEADER) this.#fail('no section header');
        if (length < ng.BLOCK_FRAME || length % 4 !== 0)
          this.#fail(`block length ${length} is not a multiple of 4 from ${ng.BLOCK_FRAME} on`);
        const minimum = MINIMUMS.get(type);
        if (minimum === undefined) {
          await this.#skip(length);
          continue;
        }
        if (length < minimum) this.#fail(`a block of type ${type} with ${length} bytes is too short`);
        if (length > BLOCK_MAX) this.#fail(`a block of ${length} bytes is larger than ${BLOCK_MAX}`);
        if (!(await source.fill(length)))
          this.#fail(
            `the file ends inside a block (${source.ready} of ${length} bytes)`,
            'the capture was cut off',
          );
        const block = viewOf(source.peek(length));
        if (block.getUint32(length - 4, this.#little) !== length)
          this.#fail(
            `the two lengths of the block differ (${length}, ${block.getUint32(length - 4, this.#little)})`,
          );
        const packet = this.#block(type, block);
        source.take(length);
        if (packet) yield packet;
      }
    } finally {
      await source.close();
    }
  }

  #block(type: number, block: DataView): Packet | undefined {
    if (type === ng.SECTION_HEADER) this.#openSection(block);
    else if (type === ng.INTERFACE_DESCRIPTION) this.#addInterface(block);
    else return this.#packet(type, block);
    return undefined;
  }

  #chooseOrder(magic: number): void {
    if (magic === ng.BYTE_ORDER_MAGIC) this.#little = false;
    else if (magic === ng.BYTE_ORDER_MAGIC_SWAPPED) this.#little = true;
    else this.#fail(`byte-order magic 0x${magic.toString(16)} is neither 0x1a2b3c4d nor 0x4d3c2b1a`);
  }

  #openSection(block: DataView): void {
    const major = block.getUint16(12, this.#little);
    if (major !== 1) this.#fail(`pcapng version ${major} is not 1`);
    this.#sections++;
    this.#section = [];
  }

  #addInterface(block: DataView): void {
    if (this.interfaces.length === INTERFACES_MAX) this.#fail(`more than ${INTERFACES_MAX} interfaces`);
    const read = readInterface(block, this.#little);
    if (typeof read === 'string') this.#fail(read);
    this.#section.push({ index: this.interfaces.length, snapLength: read.point.snapLength, unit: read.unit });
    this.interfaces.push(read.point);
    this.sections.push(this.#sections);
  }

  #packet(type: number, block: DataView): Packet {
    const little = this.#little;
    const id =
      type === ng.SIMPLE_PACKET
        ? 0
        : type === ng.OLD_PACKET
          ? block.getUint16(8, little)
          : block.getUint32(8, little);
    const point = this.#known(id);
    const packet = readPacket(type, block, little, point);
    if (typeof packet === 'string') this.#fail(packet);
    return packet;
  }

  #known(id: number): SectionInterface {
    const point = this.#section[id];
    if (!point)
      this.#fail(`interface ${id} is not described; this section describes ${this.#section.length}`);
    return point;
  }

  async #skip(length: number): Promise<void> {
    const started = this.#source.offset;
    for (let left = length; left > 0; ) {
      const step = Math.min(left, SKIP_STEP);
      if (!(await this.#source.fill(step)))
        broken(
          this.#name,
          started,
          `the file ends inside a block of ${length} bytes`,
          'the capture was cut off',
        );
      this.#source.take(step);
      left -= step;
    }
  }

  #fail(problem: string, hint?: string): never {
    broken(this.#name, this.#source.offset, problem, hint);
  }
}

import type { ByteSource } from '../byte-source.ts';
import type { CaptureInterface, InterfaceStatistics, Packet } from '../packet.ts';
import { broken, type CaptureReader } from '../reader.ts';
import * as ng from './blocks.ts';
import { BYTE_ORDER_MAGIC, BYTE_ORDER_MAGIC_SWAPPED } from './blocks.ts';
import { readInterface, readPacket, readStatistics, type TimeUnit } from './decode.ts';
import { findOption, readOptions, readText } from './options.ts';

/** Largest block that is taken into memory: a packet of libpcap's largest size with its comments, bytes. */
const BLOCK_MAX = 1 << 20;
/** A file with more interfaces than this is not a capture but an attack on the memory. */
const INTERFACES_MAX = 4096;
const REMARKS_MAX = 64;
const SKIP_STEP = 65536;

/** One interface of the section being read. */
interface SectionInterface {
  /** Index among the interfaces of the whole file. */
  readonly index: number;
  readonly snapLength: number;
  readonly unit: TimeUnit;
}

/**
 * Reads pcapng: both byte orders, several sections, each with its own interfaces and time resolutions; enhanced,
 * simple and obsolete packet blocks; unknown blocks are skipped. Holds one block at a time.
 * Format: draft-ietf-opsawg-pcapng.
 */
export class PcapngReader implements CaptureReader {
  readonly interfaces: CaptureInterface[] = [];
  readonly statistics = new Map<number, InterfaceStatistics>();
  readonly remarks: string[] = [];
  readonly #source: ByteSource;
  readonly #name: string;
  #little = true;
  #sections = 0;
  #section: SectionInterface[] = [];

  constructor(source: ByteSource, name: string) {
    this.#source = source;
    this.#name = name;
  }

  get format(): string {
    return `pcapng, ${this.#little ? 'little' : 'big'}-endian`;
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
        const head = view(source.peek(12));
        if (head.getUint32(0) === ng.SECTION_HEADER) this.#chooseOrder(head.getUint32(8));
        const type = head.getUint32(0, this.#little);
        const length = head.getUint32(4, this.#little);
        if (this.#sections === 0 && type !== ng.SECTION_HEADER) this.#fail('no section header');
        if (length < ng.BLOCK_FRAME || length % 4 !== 0)
          this.#fail(`block length ${length} is not a multiple of 4 from ${ng.BLOCK_FRAME} on`);
        if (!isParsed(type)) {
          await this.#skip(length);
          continue;
        }
        if (length > BLOCK_MAX) this.#fail(`a block of ${length} bytes is larger than ${BLOCK_MAX}`);
        if (!(await source.fill(length)))
          this.#fail(
            `the file ends inside a block (${source.ready} of ${length} bytes)`,
            'the capture was cut off',
          );
        const block = view(source.peek(length));
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
    else if (type === ng.INTERFACE_STATISTICS) this.#addStatistics(block);
    else return this.#packet(type, block);
    return undefined;
  }

  #chooseOrder(magic: number): void {
    if (magic === BYTE_ORDER_MAGIC) this.#little = false;
    else if (magic === BYTE_ORDER_MAGIC_SWAPPED) this.#little = true;
    else this.#fail(`byte-order magic 0x${magic.toString(16)} is neither 0x1a2b3c4d nor 0x4d3c2b1a`);
  }

  #openSection(block: DataView): void {
    if (block.byteLength < 28) this.#fail('the section header is too short');
    const major = block.getUint16(12, this.#little);
    if (major !== 1) this.#fail(`pcapng version ${major} is not 1`);
    const options = readOptions(block, 24, block.byteLength - 4, this.#little);
    if (!options) this.#fail('an option of the section header reaches beyond it');
    this.#sections++;
    this.#section = [];
    const application = findOption(options, ng.SHB_USERAPPL);
    if (application) this.#remark(readText(application));
    for (const option of options) if (option.code === ng.OPT_COMMENT) this.#remark(readText(option.value));
  }

  #remark(text: string): void {
    if (this.remarks.length < REMARKS_MAX) this.remarks.push(text);
  }

  #addInterface(block: DataView): void {
    if (this.interfaces.length === INTERFACES_MAX) this.#fail(`more than ${INTERFACES_MAX} interfaces`);
    const read = readInterface(block, this.#little);
    if (typeof read === 'string') this.#fail(read);
    this.#section.push({ index: this.interfaces.length, snapLength: read.point.snapLength, unit: read.unit });
    this.interfaces.push(read.point);
  }

  #addStatistics(block: DataView): void {
    if (block.byteLength < 24) this.#fail('the interface statistics block is too short');
    const point = this.#known(block.getUint32(8, this.#little));
    const statistics = readStatistics(block, this.#little, point.unit);
    if (!statistics) this.#fail('an option of the statistics block reaches beyond it');
    this.statistics.set(point.index, statistics);
  }

  #packet(type: number, block: DataView): Packet {
    if (block.byteLength < minimum(type)) this.#fail('the packet block is too short');
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

function isParsed(type: number): boolean {
  return (
    type === ng.SECTION_HEADER ||
    type === ng.INTERFACE_DESCRIPTION ||
    type === ng.INTERFACE_STATISTICS ||
    type === ng.ENHANCED_PACKET ||
    type === ng.SIMPLE_PACKET ||
    type === ng.OLD_PACKET
  );
}

/** Smallest packet block of a type: its frame and its fixed fields. */
function minimum(type: number): number {
  return ng.BLOCK_FRAME + (type === ng.SIMPLE_PACKET ? 4 : ng.ENHANCED_PACKET_FIXED);
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

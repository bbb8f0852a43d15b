import { EventEmitter } from 'node:events';
import { parse } from 'pcap-parser';
import type { ByteSource } from '../byte-source.ts';
import type { CaptureInterface, Packet } from '../packet.ts';
import type { CaptureReader } from '../reader.ts';
import { LINK_TYPE, MAGIC_MICRO, VERSION_LATEST, VERSION_MINOR } from './format.ts';
import { type PcapHeader, pcapRecords, readPcapHeader } from './records.ts';

/** The stream that `pcap-parser` reads. It does not flow by itself: each record is emitted. */
class RecordStream extends EventEmitter {
  pause(): void {}
  resume(): void {}
}

/**
 * Reads classic captures with `pcap-parser`. The package has no limits, no errors for truncated files and no nanosecond
 * magic, so it gets one checked record at a time (docs/decisions/0070-pcap-parser.md).
 */
export class PcapReader implements CaptureReader {
  readonly interfaces: readonly CaptureInterface[];
  readonly sections = [1];
  readonly #source: ByteSource;
  readonly #name: string;
  readonly #header: PcapHeader;

  private constructor(source: ByteSource, name: string, header: PcapHeader) {
    this.#source = source;
    this.#name = name;
    this.#header = header;
    this.interfaces = [{ link: header.link, snapLength: header.snapLength }];
  }

  /** Reads the file header. Throws RipstopError ECAPTURE. */
  static async open(source: ByteSource, name: string): Promise<PcapReader> {
    return new PcapReader(source, name, await readPcapHeader(source, name));
  }

  async *packets(): AsyncGenerator<Packet, void, void> {
    const header = this.#header;
    const unit = header.nanoseconds ? 1n : 1000n;
    const stream = new RecordStream();
    const parsed: Packet[] = [];
    const parser = parse(stream);
    let fault: Error | undefined;
    parser.on('error', error => {
      fault = error;
    });
    parser.on('packet', ({ header: record, data }) => {
      const time =
        BigInt(record.timestampSeconds) * 1_000_000_000n + BigInt(record.timestampMicroseconds) * unit;
      const length = Math.max(record.originalLength, data.length, header.fcsBytes) - header.fcsBytes;
      parsed.push({ interface: 0, time, bytes: new Uint8Array(data.subarray(0, length)), length });
    });
    try {
      stream.emit('data', asMicroseconds(header));
      for await (const record of pcapRecords(this.#source, header, this.#name)) {
        stream.emit('data', Buffer.from(record));
        if (fault) throw fault;
        yield* parsed.splice(0);
      }
    } finally {
      await this.#source.close();
    }
  }
}

/** The file header with the magic of microseconds, which is the only one that the parser knows. */
function asMicroseconds(header: PcapHeader): Buffer {
  const bytes = Buffer.from(header.bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  view.setUint32(0, MAGIC_MICRO, header.littleEndian);
  view.setUint32(LINK_TYPE, header.link, header.littleEndian);
  view.setUint16(VERSION_MINOR, VERSION_LATEST, header.littleEndian);
  return bytes;
}

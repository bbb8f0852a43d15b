declare module 'pcap-parser' {
  import type { EventEmitter } from 'node:events';

  interface PacketHeader {
    timestampSeconds: number;
    /** The second word of the record's timestamp, whatever its unit. */
    timestampMicroseconds: number;
    capturedLength: number;
    originalLength: number;
  }

  interface Parser {
    on(event: 'packet', listener: (packet: { header: PacketHeader; data: Buffer }) => void): this;
    on(event: 'error', listener: (error: Error) => void): this;
  }

  /** Parses what the stream emits as `data`, synchronously inside the emission. */
  export function parse(stream: EventEmitter & { pause(): void; resume(): void }): Parser;
}

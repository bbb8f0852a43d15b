/** The part of the package `raw-socket` that the probes use; it brings no types of its own. */
declare module 'raw-socket' {
  import type { EventEmitter } from 'node:events';

  export interface Socket extends EventEmitter {
    setOption(level: number, option: number, value: number): void;
    send(
      buffer: Buffer,
      offset: number,
      length: number,
      address: string,
      done: (error: Error | null, bytes: number) => void,
    ): void;
    close(): void;
  }

  export const Protocol: { ICMP: number; ICMPv6: number };
  export const AddressFamily: { IPv4: number; IPv6: number };
  export function createSocket(options: { protocol: number; addressFamily: number }): Socket;
  export function writeChecksum(buffer: Buffer, offset: number, checksum: number): void;
  export function createChecksum(...parts: Buffer[]): number;

  const raw: {
    Protocol: typeof Protocol;
    AddressFamily: typeof AddressFamily;
    createSocket: typeof createSocket;
    writeChecksum: typeof writeChecksum;
    createChecksum: typeof createChecksum;
  };
  export default raw;
}

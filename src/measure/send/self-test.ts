import { UDP_IPV6 } from '../../dataplane/descriptor/native-arguments.ts';
import { mappedBytesOf, requireAddress } from '../../ip/address.ts';
import { native } from '../../native/load.ts';
import { Generator, type GeneratorOptions } from './generator.ts';

const TEST_MS = 400;
/** The socket that the packets go to holds none: the kernel drops them there, which costs less than to deliver them. */
const BUFFER_BYTES = 1;
const UDP_GRO = 104;

/**
 * Packets per second that this generator sends at most, with the sizes, flows and offload of a stream: over loopback, to a socket
 * that is not read. It includes what the kernel does to receive them, so that over a network card it is rather more.
 */
export async function measureLimit(
  options: Pick<GeneratorOptions, 'sizes' | 'flows' | 'gso'> & { family: 4 | 6 },
): Promise<number> {
  const address = options.family === 4 ? '127.0.0.1' : '::1';
  const own = mappedBytesOf(requireAddress(address));
  const hole = native.udpOpen('', own, 0, options.family === 6 ? UDP_IPV6 : 0, BUFFER_BYTES);
  try {
    // Without it, the kernel would cut the large packets before it drops them.
    if (options.gso) native.udpProbe(hole, UDP_GRO);
    const generator = new Generator({
      ...options,
      flows: { count: options.flows.count, ports: undefined, queues: undefined },
      to: { family: options.family, address, port: native.udpPort(hole) },
      source: address,
      medium: { kind: 'udp' },
      ...{ stream: 0, nonce: 0 },
    });
    try {
      const { sent } = await generator.run({
        ...{ perSecond: Number.POSITIVE_INFINITY, unit: 'packets', durationMs: TEST_MS, asks: false },
        packets: Number.MAX_SAFE_INTEGER,
      });
      return (sent.packets * 1000) / sent.elapsedMs;
    } finally {
      await generator.close();
    }
  } finally {
    native.closeFd(hole);
  }
}

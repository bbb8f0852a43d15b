/** Run by sinks.test.ts: a capture of 2000 packets on standard output; what ends it goes to standard error. */
import { LINK_RAW } from '../../../src/capture/packet.ts';
import { PcapngFormat } from '../../../src/capture/pcapng-writer.ts';
import { StreamSink } from '../../../src/capture/stream-sink.ts';
import { ip, udp, V4 } from './frames.ts';

const bytes = ip(V4, 17, udp(1, 2, new Uint8Array(500), V4));
const format = new PcapngFormat([{ link: LINK_RAW, snapLength: 0 }], { application: 'ripstop' });
const sink = new StreamSink({ stream: process.stdout, format, statistics: () => [{}] });
try {
  for (let i = 0; i < 2000; i++) {
    await sink.packet({ interface: 0, time: BigInt(i), bytes, length: bytes.length });
    if (i % 10 === 0) await sink.flush();
  }
} catch (error) {
  process.stderr.write(`${(error as NodeJS.ErrnoException).code}\n`);
}
await sink.close();

/** Run by sinks.test.ts inside a mount namespace with a very small disk: captures until it is full. */
import { describeError, RipstopError } from '../../../src/base/errors.ts';
import { FileSink } from '../../../src/capture/file-sink.ts';
import { LINK_RAW } from '../../../src/capture/packet.ts';
import { PcapngFormat } from '../../../src/capture/pcapng-writer.ts';

const format = new PcapngFormat([{ link: LINK_RAW, snapLength: 0 }], { application: 'ripstop' });
const sink = await FileSink.open({ path: process.argv[2]!, format, statistics: () => [{}] });
try {
  for (let i = 0; i < 10_000; i++) {
    await sink.packet({ interface: 0, time: BigInt(i), bytes: new Uint8Array(1000), length: 1000 });
    if (i % 10 === 0) await sink.flush();
  }
  console.log('the disk was never full');
} catch (error) {
  console.log(error instanceof RipstopError ? `${error.code} ${describeError(error)}` : error);
}

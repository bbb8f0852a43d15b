import { describePacket } from '../../../src/capture/decode/text.ts';
import {
  type Batch,
  DESC_LENGTH,
  DESC_OFFSET,
  DESC_STRIDE,
  DESC_VERDICT,
} from '../../../src/dataplane/descriptor/descriptor.ts';
import type { FrameDevice } from '../../../src/dataplane/io/interfaces.ts';

/** FORWARD of `dataplane/descriptor/verdicts.ts`; io stands below path. */
const FORWARD = 1;

/**
 * A device that tells each frame as tcpdump would: `> ` what it hands over, `< ` what it is given to write. For tests
 * and for looking at a forwarder in one thread; a running node is looked at with `ripstop capture`.
 * @param kind what a frame is: Ethernet of a TAP, IP of a TUN
 */
export function tracedDevice(
  device: FrameDevice,
  kind: 'tap' | 'tun',
  say: (line: string) => void,
): FrameDevice {
  const link = kind === 'tap' ? 'ethernet' : 'ip';
  const tell = (mark: string, { table, view }: Batch, at: number) => {
    const frame = new Uint8Array(
      view.buffer,
      view.byteOffset + table[at + DESC_OFFSET]!,
      table[at + DESC_LENGTH]!,
    );
    say(`${mark} ${describePacket(frame, link)}`);
  };
  return {
    readBatch(batch, timeoutMs) {
      const count = device.readBatch(batch, timeoutMs);
      for (let at = 0; at < count * DESC_STRIDE; at += DESC_STRIDE) tell('>', batch, at);
      return count;
    },
    writeBatch(batch, count) {
      for (let at = 0; at < count * DESC_STRIDE; at += DESC_STRIDE)
        if (batch.table[at + DESC_VERDICT] === FORWARD) tell('<', batch, at);
      return device.writeBatch(batch, count);
    },
    close: () => device.close(),
  };
}

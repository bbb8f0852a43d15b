import { open as openFile } from 'node:fs/promises';
import { hasCode, messageOf, RipstopError } from '../../base/errors.ts';
import { ByteSource } from './byte-source.ts';
import { MAGIC_MICRO, MAGIC_NANO, MAGIC_PATCHED } from './pcap/format.ts';
import { PcapReader } from './pcap/reader.ts';
import { SECTION_HEADER } from './pcapng/blocks.ts';
import { PcapngReader } from './pcapng/reader.ts';
import { broken, type CaptureReader } from './reader.ts';

/** Opens a capture file, or standard input for `-`. Throws RipstopError ECAPTURE. */
export async function openCapture(path: string): Promise<CaptureReader> {
  if (path === '-') return readCapture(process.stdin, 'standard input');
  try {
    const file = await openFile(path, 'r');
    return await readCapture(file.createReadStream(), path);
  } catch (error) {
    if (error instanceof RipstopError) throw error;
    const reason = hasCode(error, 'ENOENT') ? 'no such file' : messageOf(error);
    throw new RipstopError(
      'ECAPTURE',
      `${path}: ${reason}`,
      'give a pcap or pcapng file, or - for standard input',
    );
  }
}

/**
 * Reads a capture from chunks. The first four bytes determine the format.
 * @param name of the capture in error messages
 */
export async function readCapture(chunks: AsyncIterable<Uint8Array>, name: string): Promise<CaptureReader> {
  const source = new ByteSource(chunks);
  try {
    if (!(await source.fill(4)))
      broken(name, 0, source.ready === 0 ? 'the file is empty' : 'the file is too short to be a capture');
    const head = source.peek(4);
    const view = new DataView(head.buffer, head.byteOffset, 4);
    const straight = view.getUint32(0);
    const swapped = view.getUint32(0, true);
    if (straight === SECTION_HEADER) return new PcapngReader(source, name);
    for (const magic of [straight, swapped]) {
      if (magic === MAGIC_MICRO || magic === MAGIC_NANO) return await PcapReader.open(source, name);
      if (magic === MAGIC_PATCHED)
        broken(
          name,
          0,
          'the format of a patched libpcap is not supported',
          'convert it with `editcap -F pcapng in out`',
        );
    }
    return broken(
      name,
      0,
      `magic number 0x${straight.toString(16).padStart(8, '0')} is neither pcap nor pcapng`,
      straight >>> 16 === 0x1f8b ? 'the file is compressed: gunzip it first' : 'give a pcap or pcapng file',
    );
  } catch (error) {
    await source.close();
    throw error;
  }
}

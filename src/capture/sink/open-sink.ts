import { createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { release, type } from 'node:os';
import { RipstopError } from '../../base/errors.ts';
import type { CaptureFormat, CaptureInterface } from '../format/packet.ts';
import { PcapFormat } from '../format/pcap/writer.ts';
import { PcapngFormat } from '../format/pcapng/writer.ts';
import type { CaptureContext } from '../live/context.ts';
import { FileSink, type FileSinkOptions } from './file-sink.ts';
import type { CaptureSink } from './sink.ts';
import { StreamSink } from './stream-sink.ts';

/**
 * Opens the sink of a capture: standard output for `-`, one file, or rotated files. An existing pipe or device is
 * written to and never replaced by a file.
 * @throws RipstopError
 */
export async function openSink(options: FileSinkOptions): Promise<CaptureSink> {
  const { path, format, rotation, statistics } = options;
  if (path === '-') return new StreamSink({ stream: process.stdout, format, statistics });
  if (!(await isSpecial(path))) return FileSink.open(options);
  if (rotation?.bytes !== undefined || rotation?.seconds !== undefined)
    throw new RipstopError('ECONFIG', `${path} is not a regular file`, 'only files can be rotated');
  return new StreamSink({ stream: createWriteStream(path), name: path, format, statistics });
}

async function isSpecial(path: string): Promise<boolean> {
  try {
    const present = await stat(path);
    return !present.isFile() && !present.isDirectory();
  } catch {
    // A missing path becomes a file; opening it reports every other error.
    return false;
  }
}

/** The UDP port on which Wireshark recognises VXLAN. */
const KNOWN_PORT = 4789;

/** The option with which Wireshark and tshark decode the datagrams, undefined if they need none. */
export function decodeAs({ mode, port }: Pick<CaptureContext, 'mode' | 'port'>): string | undefined {
  if (mode === 'vxlan') return port === KNOWN_PORT ? undefined : `-d udp.port==${port},vxlan`;
  return `-d udp.port==${port},ip`;
}

/**
 * The format of a capture; pcapng also gets comments.
 * @param overlay whose datagrams it may have, undefined for none
 * @param notes more comments
 */
export function captureFormat(
  kind: 'pcapng' | 'pcap',
  interfaces: readonly CaptureInterface[],
  overlay: CaptureContext | undefined,
  version: string,
  notes: readonly string[] = [],
): CaptureFormat {
  const [first] = interfaces;
  if (kind === 'pcap' && first) return new PcapFormat(first.link, first.snapLength);
  return new PcapngFormat(interfaces, {
    application: `ripstop ${version}`,
    os: `${type()} ${release()}`,
    comments: [...(overlay ? overlayComments(overlay) : []), ...notes],
  });
}

function overlayComments(overlay: CaptureContext): string[] {
  const { mode, vni, port } = overlay;
  const flag = decodeAs(overlay);
  return [
    `mode ${mode}${mode === 'vxlan' ? `, VNI ${vni}` : ''}, UDP port ${port}`,
    ...(flag ? [`wireshark ${flag} opens its datagrams`] : []),
  ];
}

/** `.pcap` selects the classic format, every other name pcapng. */
export function formatOf(path: string): 'pcapng' | 'pcap' {
  return path.endsWith('.pcap') ? 'pcap' : 'pcapng';
}

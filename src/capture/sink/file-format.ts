import { release, type } from 'node:os';
import type { CaptureFormat, CaptureInterface } from '../format/packet.ts';
import { PcapFormat } from '../format/pcap-writer.ts';
import { PcapngFormat } from '../format/pcapng-writer.ts';
import type { CaptureContext } from '../live/context.ts';

/** Where Wireshark looks for VXLAN by itself. */
const KNOWN_PORT = 4789;

/** What Wireshark and tshark need to be told to open the datagrams; undefined where they know. */
export function decodeAs({ mode, port }: Pick<CaptureContext, 'mode' | 'port'>): string | undefined {
  if (mode === 'vxlan') return port === KNOWN_PORT ? undefined : `-d udp.port==${port},vxlan`;
  return `-d udp.port==${port},ip`;
}

/** The format of a capture of a data plane, with what its reader should know about that. */
export function captureFormat(
  kind: 'pcapng' | 'pcap',
  interfaces: readonly CaptureInterface[],
  context: CaptureContext,
  version: string,
): CaptureFormat {
  if (kind === 'pcap') return new PcapFormat(interfaces[0]!.link, interfaces[0]!.snapLength);
  const { mode, vni, port } = context;
  const flag = decodeAs(context);
  return new PcapngFormat(interfaces, {
    application: `ripstop ${version}`,
    os: `${type()} ${release()}`,
    comments: [
      `mode ${mode}${mode === 'vxlan' ? `, VNI ${vni}` : ''}, UDP port ${port}`,
      ...(flag ? [`wireshark ${flag} opens its datagrams`] : []),
    ],
  });
}

/** `.pcap` is the classic format, everything else the new one. */
export function formatOf(path: string): 'pcapng' | 'pcap' {
  return path.endsWith('.pcap') ? 'pcap' : 'pcapng';
}

import { isSystemError, RipstopError } from '../../base/errors.ts';
import { openTun } from '../../dataplane/io/tun.ts';
import { addressBytes } from '../../ip/address.ts';
import { macBytes } from '../../ip/mac.ts';
import { native } from '../../native/load.ts';
import { inNamespace } from '../../net/error.ts';
import { outerFieldsTo } from '../../net/next-hop.ts';
import { getLink, type Link } from '../../net/rtnetlink/links.ts';
import { withSocket } from '../../net/rtnetlink/socket.ts';
import type { FrameRoute } from './frame-sender.ts';
import type { Target } from './target.ts';

/** What packets are sent on. */
export type Medium =
  | { readonly kind: 'udp' }
  | {
      readonly kind: 'interface' | 'tun' | 'tap';
      readonly device: string;
      /** Source address of the packets. */
      readonly source: string;
      /** Destination MAC; undefined: of `interface` that of the next hop, of `tap` that of the device. */
      readonly mac: string | undefined;
    };

const BUFFER_BYTES = 1 << 20;
/** Source MAC of frames for a TAP: locally administered. */
const TAP_MAC = Uint8Array.of(0x02, 0x52, 0x73, 0, 0, 1);

/** Opens what frames are written to; undefined for `udp`. @throws RipstopError ENODEV, EPRIV, ECONFIG */
export function openFrames(
  medium: Medium,
  to: Target,
  sourcePorts: readonly number[],
): { readonly fd: number; readonly route: FrameRoute } | undefined {
  if (medium.kind === 'udp') return undefined;
  const link = withSocket('', socket => getLink(socket, medium.device));
  const { family, address, port } = to;
  const route: FrameRoute = {
    ...{ family, port, sourcePorts, mtu: link.mtu },
    source: addressBytes(medium.source),
    destination: addressBytes(address),
    ethernet: ethernetOf(medium, link, address),
  };
  if (route.source.length !== route.destination.length)
    throw new RipstopError(
      'ECONFIG',
      `source ${medium.source} and destination ${address}`,
      'give addresses of one family',
    );
  const fd = medium.kind === 'interface' ? openInterface(link) : openTun('', link.name, medium.kind, 1)[0];
  return { fd: fd ?? -1, route };
}

type Framed = Exclude<Medium, { kind: 'udp' }>;

function ethernetOf({ kind, mac }: Framed, link: Link, address: string): FrameRoute['ethernet'] {
  if (kind === 'tun') return undefined;
  const own = kind === 'tap' ? TAP_MAC : link.mac && macBytes(link.mac);
  const destination = mac ?? (kind === 'tap' ? link.mac : nextHopMac(link, address));
  if (!own || destination === undefined)
    throw new RipstopError(
      'ECONFIG',
      `${link.name}: the MAC of the next hop towards ${address} is not known`,
      'give it with --mac, or send a ping there first',
    );
  const bytes = macBytes(destination);
  if ((bytes[0] ?? 0) & 1)
    throw new RipstopError(
      'ECONFIG',
      `${destination} is the MAC of a group`,
      'packets are sent to a single host only',
    );
  return { source: own, destination: bytes };
}

/** The MAC that the kernel would send to; that of loopback is all zero. */
function nextHopMac(link: Link, address: string): string | undefined {
  const { destinationMac } = withSocket('', socket => outerFieldsTo(socket, address)) ?? {};
  return destinationMac ?? (link.type === ARPHRD_LOOPBACK ? '00:00:00:00:00:00' : undefined);
}
const ARPHRD_LOOPBACK = 772;

function openInterface({ index, name }: Link): number {
  try {
    return inNamespace(
      '',
      `frames by ${name}`,
      () => native.frameOpen('', index, BUFFER_BYTES),
      'CAP_NET_RAW',
    );
  } catch (error) {
    if (isSystemError(error) || !(error instanceof RipstopError) || error.code !== 'ENOPROTOOPT') throw error;
    throw new RipstopError(
      error.code,
      `--interface ${name}`,
      'it needs Linux 6.4; without it, UDP sockets send',
      { cause: error },
    );
  }
}

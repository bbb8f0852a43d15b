import { lookup } from 'node:dns/promises';
import { messageOf, RipstopError } from '../../base/errors.ts';
import { formatAddress, parseAddress, requireAddress, unmapped } from '../../ip/address.ts';
import { whyNoNode } from '../../ip/unicast.ts';
import { NetError } from '../../net/error.ts';
import { routeTo } from '../../net/rtnetlink/routes.ts';
import { withSocket } from '../../net/rtnetlink/socket.ts';

/** Where to send. */
export interface Target {
  readonly family: 4 | 6;
  readonly address: string;
  readonly port: number;
}

/**
 * Reads `10.0.0.2`, `10.0.0.2:5299`, `fd00::2`, `[fd00::2]:5299` or a host name with or without a port.
 * @throws RipstopError ECONFIG for anything but a single host, ENOTFOUND
 */
export async function resolveTarget(text: string, defaultPort: number): Promise<Target> {
  const [, bracketed, bare, digits] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? bare ?? text;
  const port = digits === undefined ? defaultPort : Number(digits);
  if (port < 1 || port > 65_535)
    throw new RipstopError('ECONFIG', `port ${port}`, 'ports are from 1 to 65535');
  const address = unmapped(parseAddress(host) ?? requireAddress(await resolve(host)));
  const target = { family: address.family, address: formatAddress(address), port };
  refuseGroups(target.address);
  return target;
}

async function resolve(host: string): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch (error) {
    throw new RipstopError(
      'ECONFIG',
      `${JSON.stringify(host)}: ${messageOf(error)}`,
      'give the address of a sink',
      {
        cause: error,
      },
    );
  }
}

/** One host only: a packet to a group would arrive at hosts that did not ask for it. */
function refuseGroups(address: string): void {
  const why = whyNoNode(requireAddress(address));
  if (why !== undefined && why !== 'a loopback address')
    throw new RipstopError('ECONFIG', `${address} is ${why}`, 'packets are sent to a single host only');
  if (isBroadcast(address))
    throw new RipstopError(
      'ECONFIG',
      `${address} is a broadcast address`,
      'packets are sent to a single host only',
    );
}

function isBroadcast(address: string): boolean {
  try {
    const { type } = withSocket('', socket => routeTo(socket, address));
    return type === 'broadcast' || type === 'multicast';
  } catch (error) {
    if (error instanceof NetError) return false;
    throw error;
  }
}

import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { FORMATS } from '../../encap/formats.ts';
import { familyOf, parseIp, viewOf } from '../../encap/wire/addresses.ts';
import { RipstopError } from '../base/errors.ts';
import {
  type Fields,
  fail,
  flag,
  integer,
  listOf,
  objectOf,
  oneOf,
  readObject,
  required,
  type Shape,
  text,
  withDefault,
} from '../base/schema.ts';

const peerFields = {
  id: required(text('a name', 'name of the peer', /^\S+$/)),
  address: required(text('an IP address', 'underlay address of the peer')),
  port: integer(1, 65535, 'UDP port of the peer, when it is not the own one'),
  mac: text('a MAC address', 'MAC of the VTEP of the peer (vxlan)'),
  subnets: required(listOf(text('a CIDR', 'subnet'), 'what the peer owns')),
} satisfies Fields;

/** What a forwarder is told, for a replay. Keys as in the configuration of the data plane. */
export const replayFields = {
  mode: required(oneOf(['vxlan', 'udp'], 'wire format')),
  address: required(text('an IP address', 'own underlay address')),
  port: integer(1, 65535, 'UDP port of the overlay; 8472 for vxlan, 8285 for udp'),
  vni: withDefault(integer(0, 0xffffff, 'VXLAN network identifier'), 1),
  mac: text('a MAC address', 'MAC of the own VTEP (vxlan)'),
  underlayMtu: withDefault(integer(576, 65535, 'MTU of the underlay', 'bytes'), 1500),
  mtu: integer(68, 65535, 'MTU of the overlay; the underlay MTU less the overhead', 'bytes'),
  flood: withDefault(flag('copy broadcast and multicast to every peer'), false),
  strictSource: withDefault(flag('drop what comes with an inner source that its peer does not own'), true),
  peers: withDefault(listOf(objectOf(peerFields, 'peer'), 'the remote nodes'), []),
} satisfies Fields;

type Raw = Shape<typeof replayFields>;
/** A configuration with every default filled in. */
export type ReplayConfig = Omit<Raw, 'port' | 'mtu'> & { readonly port: number; readonly mtu: number };
export type ReplayPeer = ReplayConfig['peers'][number];

/** Reads a configuration of JSON or YAML. Throws RipstopError ECONFIG that names the key. */
export function readReplayConfig(source: string, where: string): ReplayConfig {
  let value: unknown;
  try {
    value = parse(source);
  } catch (error) {
    throw new RipstopError(
      'ECONFIG',
      `${where}: ${(error as Error).message.split('\n')[0]}`,
      'write YAML or JSON',
    );
  }
  const raw = readObject(replayFields, value, '');
  const format = FORMATS[raw.mode];
  if (raw.mode === 'vxlan' && raw.mac === undefined)
    throw new RipstopError('ECONFIG', `${where}: mac: is missing`, 'vxlan needs the MAC of the own VTEP');
  const family = familyOfText(raw.address, 'address');
  for (const [index, peer] of raw.peers.entries())
    if (familyOfText(peer.address, `peers[${index}].address`) !== family)
      fail(
        `peers[${index}].address`,
        `${peer.address} is no IPv${family} address`,
        'give it the family of the own address',
      );
  const overhead = format.overhead(family);
  return { ...raw, port: raw.port ?? format.port, mtu: raw.mtu ?? raw.underlayMtu - overhead };
}

function familyOfText(address: string, where: string): 4 | 6 {
  const bytes = parseIp(address);
  return bytes ? familyOf(viewOf(bytes), 0) : fail(where, `${JSON.stringify(address)} is not an IP address`);
}

/** Reads the configuration in a file. Throws RipstopError ECONFIG. */
export async function loadReplayConfig(path: string): Promise<ReplayConfig> {
  let source: string;
  try {
    source = await readFile(path, 'utf8');
  } catch (error) {
    const reason =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (error as Error).message;
    throw new RipstopError('ECONFIG', `${path}: ${reason}`, 'give the file of a configuration');
  }
  return readReplayConfig(source, path);
}

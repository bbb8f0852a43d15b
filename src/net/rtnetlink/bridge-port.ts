import { AF_UNSPEC } from '../address-bytes.ts';
import { type Attributes, readU8 } from './attributes.ts';
import { type BridgeOptions, writeBridge } from './link-kinds.ts';
import { MessageWriter } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

/* Options of a bridge and of its ports, changed after they were made (IFLA_LINKINFO of linux/if_link.h). */

const RTM_NEWLINK = 16;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const IFLA_BRPORT_MODE = 4;
const IFLA_BRPORT_LEARNING = 8;
const IFLA_BRPORT_UNICAST_FLOOD = 9;
const IFLA_BRPORT_ISOLATED = 33;

export interface BridgePortOptions {
  /** Frames may leave by the port that they came in by. */
  hairpin?: boolean;
  /** No traffic to other isolated ports. */
  isolated?: boolean;
  learning?: boolean;
  /** Frames for unknown addresses leave by this port too. */
  unicastFlood?: boolean;
}
export type BridgePort = Readonly<Required<BridgePortOptions>>;

const PORT_ATTRIBUTES: readonly (readonly [keyof BridgePortOptions, number])[] = [
  ['hairpin', IFLA_BRPORT_MODE],
  ['learning', IFLA_BRPORT_LEARNING],
  ['unicastFlood', IFLA_BRPORT_UNICAST_FLOOD],
  ['isolated', IFLA_BRPORT_ISOLATED],
];

export function readBridgePort(data: Attributes): BridgePort {
  return {
    hairpin: readU8(data, IFLA_BRPORT_MODE) === 1,
    isolated: readU8(data, IFLA_BRPORT_ISOLATED) === 1,
    learning: readU8(data, IFLA_BRPORT_LEARNING) === 1,
    unicastFlood: readU8(data, IFLA_BRPORT_UNICAST_FLOOD) === 1,
  };
}

function header(what: string, index: number): MessageWriter {
  return new MessageWriter(RTM_NEWLINK, 0, what).u8(AF_UNSPEC).u8(0).u16(0).u32(index).u32(0).u32(0);
}

/** Changes options of the bridge port with this link index. @throws NetError (EINVAL: it is no port of a bridge) */
export function changeBridgePort(socket: NetlinkSocket, index: number, options: BridgePortOptions): void {
  const writer = header(`change bridge port ${index} (${Object.keys(options).join(', ')})`, index);
  writer.nested(IFLA_LINKINFO, info => {
    info.attributeText(IFLA_INFO_SLAVE_KIND, 'bridge').nested(IFLA_INFO_SLAVE_DATA, data => {
      for (const [name, type] of PORT_ATTRIBUTES) {
        const value = options[name];
        if (value !== undefined) data.attributeU8(type, Number(value));
      }
    });
  });
  socket.request(writer);
}

/** Changes options of the bridge with this link index. @throws NetError */
export function changeBridge(socket: NetlinkSocket, index: number, options: BridgeOptions): void {
  const writer = header(`change bridge ${index} (${Object.keys(options).join(', ')})`, index);
  writer.nested(IFLA_LINKINFO, info => {
    info.attributeText(IFLA_INFO_KIND, 'bridge').nested(IFLA_INFO_DATA, data => writeBridge(data, options));
  });
  socket.request(writer);
}

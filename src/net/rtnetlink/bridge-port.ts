import { type BridgeOptions, writeBridge } from './link-kinds.ts';
import {
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_INFO_SLAVE_DATA,
  IFLA_INFO_SLAVE_KIND,
  IFLA_LINKINFO,
  linkHeader,
  RTM_NEWLINK,
} from './links.ts';
import { MessageWriter } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

/* Options of a bridge and of its ports, changed after they were made (IFLA_LINKINFO of linux/if_link.h). */

const IFLA_BRPORT_MODE = 4;
const IFLA_BRPORT_ISOLATED = 33;

interface BridgePortOptions {
  /** Frames may leave by the port that they came in by. */
  hairpin?: boolean;
  /** No traffic to other isolated ports. */
  isolated?: boolean;
}

/** Changes options of the bridge port with this link index. @throws NetError (EINVAL: not a port of a bridge) */
export function changeBridgePort(socket: NetlinkSocket, index: number, options: BridgePortOptions): void {
  const what = `change bridge port ${index} (${Object.keys(options).join(', ')})`;
  const { hairpin, isolated } = options;
  const writer = linkHeader(new MessageWriter(RTM_NEWLINK, 0, what), index).nested(IFLA_LINKINFO, info =>
    info.attributeText(IFLA_INFO_SLAVE_KIND, 'bridge').nested(IFLA_INFO_SLAVE_DATA, data => {
      if (hairpin !== undefined) data.attributeU8(IFLA_BRPORT_MODE, Number(hairpin));
      if (isolated !== undefined) data.attributeU8(IFLA_BRPORT_ISOLATED, Number(isolated));
    }),
  );
  socket.request(writer);
}

/** Changes options of the bridge with this link index. @throws NetError */
export function changeBridge(socket: NetlinkSocket, index: number, options: BridgeOptions): void {
  const what = `change bridge ${index} (${Object.keys(options).join(', ')})`;
  const writer = linkHeader(new MessageWriter(RTM_NEWLINK, 0, what), index).nested(IFLA_LINKINFO, info =>
    info.attributeText(IFLA_INFO_KIND, 'bridge').nested(IFLA_INFO_DATA, data => writeBridge(data, options)),
  );
  socket.request(writer);
}

import type { PathProbe } from '../../dataplane/path-checks.ts';
import { findLink } from '../../net/rtnetlink/links.ts';
import { configuredRouteTo } from '../../net/rtnetlink/routes.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { Prober } from './prober.ts';

/** Attempts before an answer counts as missing, and the wait for each, milliseconds. */
const TRIES = 2;
const TIMEOUT_MS = 250;

/** Tells what a path carries from what an ICMP error claims about it, by ICMP echoes over the underlay. */
export class PathProber implements PathProbe {
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  configuredMtu(address: string): number | undefined {
    try {
      const { mtu, link, hops } = configuredRouteTo(this.#socket, address);
      const links = [link, ...(hops ?? []).map(hop => hop.link)].filter(index => index !== undefined);
      const found = [mtu, ...links.map(index => findLink(this.#socket, index)?.mtu)];
      const known = found.filter(one => one !== undefined);
      return known.length > 0 ? Math.min(...known) : undefined;
    } catch {
      return undefined; // without a route nothing is sent
    }
  }

  async largestAnswered(address: string, claimed: number, present: number): Promise<number> {
    const prober = new Prober();
    try {
      const isAnswered = async (bytes: number): Promise<boolean> => {
        for (let attempt = 0; attempt < TRIES; attempt++)
          if ((await prober.echo(address, bytes, TIMEOUT_MS)) !== undefined) return true;
        return false;
      };
      if (!(await isAnswered(claimed + 1))) return claimed;
      if (await isAnswered(present)) return present;
      return await prober.probePathMtu(address, claimed + 1, present, TIMEOUT_MS);
    } finally {
      prober.close();
    }
  }
}

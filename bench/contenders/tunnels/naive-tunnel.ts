/*
 * The tunnel one writes first in Node: the tuntap2 fork's stream on one side, node:dgram on the other, a packet at a
 * time through the event loop. Run by naive-node.ts: PORT ADDRESS {SUBNET PEER}...
 */
import { createSocket } from 'node:dgram';
import { createRequire } from 'node:module';
import { isIPv6 } from 'node:net';
import { addressBytes } from '../../../src/ip/address.ts';

interface Tun extends NodeJS.ReadWriteStream {
  name: string;
}
const { LinuxTun } = createRequire(import.meta.url)('@xiaobaidadada/node-tuntap2-wintun') as {
  LinuxTun: new () => Tun;
};

const [port, address, ...pairs] = process.argv.slice(2);
/** Leading bytes of a subnet's addresses, in hex, and the peer behind it. */
const routes: { version: number; prefix: string; peer: string }[] = [];
for (let i = 0; i + 1 < pairs.length; i += 2) {
  const [network, bits] = pairs[i]!.split('/');
  const version = isIPv6(network!) ? 6 : 4;
  const bytes = Buffer.from(addressBytes(network!));
  routes.push({ version, prefix: bytes.toString('hex', 0, Number(bits) / 8), peer: pairs[i + 1]! });
}

const tun = new LinuxTun();
const socket = createSocket(isIPv6(address!) ? 'udp6' : 'udp4');
tun.on('data', (packet: Buffer) => {
  const version = packet[0]! >> 4;
  const destination = version === 6 ? packet.toString('hex', 24, 40) : packet.toString('hex', 16, 20);
  const route = routes.find(
    candidate => candidate.version === version && destination.startsWith(candidate.prefix),
  );
  if (route) socket.send(packet, Number(port), route.peer);
});
socket.on('message', packet => tun.write(packet));
socket.bind(Number(port), address, () => console.log(`device ${tun.name}`));

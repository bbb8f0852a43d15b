/*
 * udp-peer-program LOCAL PORT TO: the other end of flannel's udp format, and nothing else: every datagram that comes is
 * printed as `SOURCE-PORT hexadecimal`, every line of hexadecimal on standard input is sent to TO:PORT.
 */
import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';

const [local, port, to] = process.argv.slice(2) as [string, string, string];
const socket = createSocket({ type: to.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 });
socket.on('message', (bytes, { port: source }) => console.log(`${source} ${bytes.toString('hex')}`));
socket.bind({ address: local, port: Number(port) }, () => console.log('ready'));
for await (const line of createInterface(process.stdin))
  socket.send(Buffer.from(line, 'hex'), Number(port), to);

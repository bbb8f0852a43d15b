/*
 * gun-program FROM TO PORT: reads `length (uint32, little-endian), bytes` again and again from standard input, sends each
 * as one UDP datagram from FROM to TO:PORT, and prints how many it has sent since it last said so.
 */
import { createSocket } from 'node:dgram';

const [from, to, port] = process.argv.slice(2) as [string, string, string];
const socket = createSocket(to.includes(':') ? 'udp6' : 'udp4');
let pending = Buffer.alloc(0);

function send(bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) =>
    socket.send(bytes, Number(port), to, error => (error ? reject(error) : resolve())),
  );
}

socket.bind({ address: from }, async () => {
  for await (const chunk of process.stdin) {
    pending = Buffer.concat([pending, chunk as Buffer]);
    let sent = 0;
    let at = 0;
    for (; pending.length - at >= 4; sent++) {
      const length = pending.readUInt32LE(at);
      if (pending.length - at < 4 + length) break;
      await send(pending.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
    pending = pending.subarray(at);
    if (sent > 0) process.stdout.write(`${sent}\n`);
  }
  socket.close();
});

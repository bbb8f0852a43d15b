/*
 * UDP datagrams whose content is checked, for a pod:
 *   echo-program serve ADDRESS                        prints `listening PORT` and sends everything back
 *   echo-program probe ADDRESS PORT BURST SIZE...     sends BURST datagrams of each size at once, waits for all to come
 *                                                     back in order and unchanged, prints the sizes that did not as JSON
 *   echo-program collect ADDRESS COUNT                prints `listening PORT`, then SHA-256 of COUNT datagrams as JSON
 */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { Random } from '../random.ts';

const [mode, address = '', ...words] = process.argv.slice(2);
const PATIENCE_MS = 60_000;
const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 });

function serve(): void {
  socket.on('message', (bytes, { port, address: from }) => socket.send(bytes, port, from));
  socket.bind({ address }, () => console.log(`listening ${socket.address().port}`));
}

function collect(count: number): void {
  const hashes: string[] = [];
  const end = () => {
    console.log(JSON.stringify(hashes));
    process.exit();
  };
  socket.on('message', bytes => {
    hashes.push(createHash('sha256').update(bytes).digest('hex'));
    if (hashes.length === count) end();
  });
  socket.bind({ address }, () => console.log(`listening ${socket.address().port}`));
  setTimeout(end, PATIENCE_MS);
}

async function probe(port: number, burst: number, sizes: readonly number[]): Promise<void> {
  const failed: Record<string, string> = {};
  for (const size of sizes) {
    const sent = Array.from({ length: burst }, (_, i) => Buffer.from(new Random(size * 64 + i).bytes(size)));
    const said = await new Promise<string | undefined>(resolve => {
      let next = 0;
      const timer = setTimeout(resolve, PATIENCE_MS, `${next} of ${burst} came back`);
      socket.removeAllListeners('message').on('message', bytes => {
        const right = bytes.equals(sent[next]!);
        if (!right) resolve(`the answer to number ${next} differs, ${bytes.length} bytes`);
        if (++next === burst) resolve(undefined);
        if (!right || next === burst) clearTimeout(timer);
      });
      for (const bytes of sent) socket.send(bytes, port, address);
    });
    if (said !== undefined) failed[size] = said;
  }
  console.log(JSON.stringify(failed));
  socket.close();
}

if (mode === 'serve') serve();
else if (mode === 'collect') collect(Number(words[0]));
else {
  const [port, burst, ...sizes] = words.map(Number);
  socket.bind(() => void probe(port!, burst!, sizes));
}

/*
 * hostile-program SEED ROUNDS PLACE...: sends hostile bytes to each PLACE (`http:PORT` on loopback, `http:PATH`,
 * `cni:PATH`, `text:PATH`), and prints `done` with the number of connections made. A connection sends all at once or in
 * pieces, closes its half, resets, hangs, or reads nothing of the answer.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../random.ts';
import { handmadeCalls, handmadeRequests, mangled } from './hostile-requests.ts';

const [seed, rounds, ...places] = process.argv.slice(2);
const random = new Random(Number(seed));
/** Connections that stay open without a whole request, more than a listener allows at once. */
const HANGING = 200;
let connections = 0;

function open(place: string): Socket {
  const address = place.slice(place.indexOf(':') + 1);
  connections++;
  const socket = /^\d+$/.test(address) ? connect(Number(address), '127.0.0.1') : connect(address);
  return socket.on('error', () => {});
}

async function send(place: string, bytes: Uint8Array): Promise<void> {
  const socket = open(place);
  const closed = new Promise(resolve => socket.once('close', resolve));
  const cut = random.chance(0.3) ? random.between(0, bytes.length) : bytes.length;
  socket.write(bytes.subarray(0, cut));
  if (cut < bytes.length) {
    await sleep(1);
    socket.write(bytes.subarray(cut));
  }
  switch (random.between(0, 3)) {
    case 0:
      socket.end();
      break;
    case 1:
      // An answer may be on its way: the listener meets the reset in the middle of it.
      await Promise.race([closed, sleep(random.between(0, 4))]);
      if (place.startsWith('http') && /:\d+$/.test(place)) socket.resetAndDestroy();
      else socket.destroy();
      break;
    case 2:
      socket.pause();
      break;
    default:
      socket.resume();
  }
  await Promise.race([closed, sleep(15)]);
  socket.destroy();
}

for (const place of places) {
  const made: readonly Uint8Array[] = place.startsWith('cni')
    ? handmadeCalls()
    : handmadeRequests().map(text => Buffer.from(text, 'latin1'));
  const hanging = Array.from({ length: HANGING }, (_, at) => {
    const socket = open(place);
    if (at % 2 === 0) socket.write(Buffer.from(made[0]!).subarray(0, 5));
    return socket;
  });
  for (const bytes of made) await send(place, bytes);
  for (let round = Number(rounds); round > 0; round--)
    await send(
      place,
      random.chance(0.2) ? random.bytes(random.between(0, 3000)) : mangled(random, random.pick(made)),
    );
  for (const socket of hanging) socket.destroy();
}
process.stdout.write(`done ${connections}\n`);
process.exit(0);

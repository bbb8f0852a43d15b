import { makePacket } from '../../golden/packets.ts';

/** Inputs that a fuzzer starts from: whole packets of every kind, in the form that its target reads. */
export function segmentSeeds(): Uint8Array[] {
  return shapes().map(({ family, protocol, l3 }) => {
    const packet = makePacket({ family, protocol, l3, payload: new Uint8Array(300).fill(7) });
    const seed = new Uint8Array(8 + packet.bytes.length);
    const view = new DataView(seed.buffer);
    seed[0] = l3;
    seed[1] = protocol === 17 ? 5 : family === 4 ? 1 : 4;
    view.setUint16(2, 100, true);
    view.setUint16(4, packet.l4, true);
    seed[6] = protocol === 17 ? 6 : 16;
    seed.set(packet.bytes, 8);
    return seed;
  });
}

export function coalesceSeeds(): Uint8Array[] {
  return shapes().map(({ family, protocol, l3 }) => {
    const frames = [0, 1, 2].map(i =>
      makePacket({ family, protocol, l3, payload: new Uint8Array(100).fill(i), sequence: 1 + i * 100 }),
    );
    const parts = frames.map(({ bytes }) =>
      Buffer.concat([Uint8Array.of(bytes.length & 255, bytes.length >> 8), bytes]),
    );
    return Buffer.concat([Uint8Array.of(7, l3), ...parts]);
  });
}

function shapes() {
  return ([4, 6] as const).flatMap(family =>
    ([6, 17] as const).flatMap(protocol => [0, 14, 18].map(l3 => ({ family, protocol, l3 }))),
  );
}

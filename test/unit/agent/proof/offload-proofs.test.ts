import t from 'tap';
import { emitPacket, parsePacket } from '../../../../encap/offload-proof.ts';
import type { Overlay } from '../../../../src/agent/overlay/overlay.ts';
import { OffloadProofs } from '../../../../src/agent/proof/offload-proofs.ts';
import { requirePrefix } from '../../../../src/ip/prefix.ts';
import { until } from '../../../../src/lab/until.ts';
import { SILENT } from '../../../fixtures/io/loopback-forwarder.ts';

/** An overlay whose peers answer by themselves; trains do not arrive at them while `isBroken`. */
function overlayWith(count: number) {
  const peers = Array.from({ length: count }, (_, index) => ({
    ...{ id: `n${index}`, node: `node${index}/boot`, address: `192.0.2.${index}`, provesOffloads: true },
    subnets: [requirePrefix(`10.244.${index + 1}.0/24`)],
  }));
  const far = { isBroken: true };
  const waiting: [string, Uint8Array][] = [];
  const unsegmented = new Set<string>();
  const sets = new Map<string, { train: bigint; alone: bigint }>();
  const plane = {
    offloads: { udpGso: 'on' },
    setSegmentation: (id: string, isOn: boolean) => (isOn ? unsegmented.delete(id) : unsegmented.add(id)),
    proofs: {
      limits: () => ({ packet: 1450, overhead: 22, message: 65_507 }),
      receive: (take: (id: string, packet: Uint8Array) => void) => {
        for (const [id, packet] of waiting.splice(0)) take(id, packet);
      },
      send: (id: string, packets: readonly Uint8Array[]) => {
        for (const packet of packets) {
          const { source, destination, message } = parsePacket(packet)!;
          const set = sets.get(id) ?? { train: 0n, alone: 0n };
          sets.set(id, set);
          if (message.kind === 'question') {
            const answer = { kind: 'answer', nonce: message.nonce, ...set } as const;
            waiting.push([id, emitPacket({ source: destination, destination: source, message: answer })]);
            sets.delete(id);
          } else if (message.kind !== 'answer' && !(far.isBroken && message.kind === 'train'))
            set[message.kind] |= 1n << BigInt(message.place);
        }
        return true;
      },
    },
  };
  const overlay = {
    ...{ plan: { subnets: ['10.244.0.0/24'] }, peers, plane },
    peer: (id: string) => peers.find(peer => peer.id === id),
  } as unknown as Overlay;
  return { overlay, far, unsegmented };
}

t.test('peers that change together make one event, which names them', async t => {
  const { overlay, far, unsegmented } = overlayWith(10);
  const events: [string, string][] = [];
  const proofs = new OffloadProofs({
    ...{ overlays: () => [overlay], intervalMs: 1, log: SILENT },
    recordEvent: (type, message) => events.push([type, message]),
  });
  t.equal(proofs.of(overlay, overlay.peers[0]!), undefined, 'not before it begins');
  proofs.start();
  t.teardown(() => proofs.stop());
  const count = (type: string) =>
    events
      .filter(([kind]) => kind === type)
      .reduce((sum, [, message]) => sum + Number(/towards (\d+) peer/.exec(message)?.[1]), 0);
  await until('all broken and told', () => unsegmented.size === 10 && count('Warning') === 10);
  t.match(events[0]![1], /^segmentation offload is off towards \d+ peers? \(node\d/);
  t.match(events[0]![1], /: trains of 2 x 1472 bytes: 2 datagrams never arrive, alone all do$/);
  t.notMatch(events[0]![1], 'boot');
  t.ok(events.length < 10, `${events.length} events`);
  t.equal(proofs.broken(overlay).length, 10);
  t.match(proofs.of(overlay, overlay.peers[3]!), { state: 'broken' });
  far.isBroken = false;
  await until('all intact and told', () => unsegmented.size === 0 && count('Normal') === 10);
  t.match(events.at(-1)![1], /^segmentation offload is on again towards \d+ peers? \(.*: all trains arrive$/);
  t.same(proofs.broken(overlay), []);
});

t.test('switched off, nothing happens', async t => {
  const { overlay } = overlayWith(1);
  const proofs = new OffloadProofs({
    overlays: () => t.fail('looked at') as never,
    ...{ intervalMs: 0, log: SILENT, recordEvent: () => t.fail('told') },
  });
  const { setInterval } = globalThis;
  globalThis.setInterval = (() => t.fail('no timer is needed')) as never;
  t.teardown(() => {
    globalThis.setInterval = setInterval;
  });
  proofs.start();
  proofs.stop();
  t.equal(proofs.of(overlay, overlay.peers[0]!), undefined);
  const kernels = { ...overlay, plane: undefined } as unknown as Overlay;
  t.equal(proofs.of(kernels, overlay.peers[0]!), undefined, 'where the kernel carries the packets');
});

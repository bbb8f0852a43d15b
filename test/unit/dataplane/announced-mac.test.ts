import t from 'tap';
import { openCounters } from '../../../src/dataplane/descriptor/counters.ts';
import { verdictCount } from '../../../src/dataplane/descriptor/read-counters.ts';
import { VERDICTS } from '../../../src/dataplane/descriptor/verdicts.ts';
import { forwardEgressBatch, forwardIngressBatch } from '../../../src/dataplane/fast-path/forwarder.ts';
import { loopbackForwarders, NODE1, NODE2 } from '../../fixtures/io/loopback-forwarder.ts';

const OWN = [2, 0, 0, 0, 0, 1];
const FORGED = [2, 0, 0, 0, 0xaa, 0x77];
const TO = [2, 0, 0, 0, 0, 2];

/** The verdict of the second node about a frame of the first. */
function verdictOf(frame: Uint8Array, mac: string | undefined = NODE1.mac): string {
  const peers = [{ ...NODE1, mac }, NODE2];
  const forwarders = loopbackForwarders([{ bytes: frame }], { peers });
  while (forwardEgressBatch(forwarders.egress) > 0);
  while (forwardIngressBatch(forwarders.ingress) > 0);
  const counters = openCounters(forwarders.counters);
  const names = VERDICTS.filter((_, number) => verdictCount(counters, number).frames > 0).map(
    ({ name }) => name,
  );
  return names.at(-1) ?? 'none';
}

/** ARP from a pod address of node 1. */
function arp(operation: number, mac: readonly number[]): Uint8Array {
  return Uint8Array.from([
    ...[...TO, ...OWN, 8, 6, 0, 1, 8, 0, 6, 4, 0, operation],
    ...[...mac, 10, 244, 1, 9, ...TO, 10, 244, 2, 0],
  ]);
}

/** A message of neighbour discovery from fd00:1::9 with options, behind extension headers. */
function discovery(type: number, options: readonly number[], extensions: readonly number[] = []): Uint8Array {
  const fixed = { 133: 8, 134: 16, 135: 24, 136: 24, 137: 40 }[type] ?? 8;
  const message = [type, ...new Array<number>(fixed - 1).fill(0), ...options];
  const next = extensions.length > 0 ? 60 : 58;
  const address = (site: number, end: number) => [0xfd, 0, 0, site, ...new Array<number>(11).fill(0), end];
  const payload = [...extensions, ...message];
  return Uint8Array.from([
    ...[...TO, ...OWN, 0x86, 0xdd, 0x60, 0, 0, 0, payload.length >> 8, payload.length & 255, next, 255],
    ...[...address(1, 9), ...address(2, 0), ...payload],
  ]);
}

t.test('ARP must have the MAC of the VTEP that sent it (H16)', async t => {
  for (const operation of [1, 2]) {
    t.equal(verdictOf(arp(operation, OWN)), 'forward', `operation ${operation}`);
    t.equal(verdictOf(arp(operation, FORGED)), 'spoofed-source', `operation ${operation}, forged`);
  }
});

t.test('neighbour discovery must have it as well (H16)', async t => {
  const padding = [60 - 2, 0, 1, 4, 0, 0, 0, 0];
  for (const type of [133, 134, 135, 136, 137])
    for (const option of [1, 2]) {
      t.equal(verdictOf(discovery(type, [option, 1, ...OWN])), 'forward', `type ${type}, option ${option}`);
      const forged = [option, 1, ...FORGED];
      t.equal(verdictOf(discovery(type, forged)), 'spoofed-source', `type ${type}, option ${option}, forged`);
      const nonce = [14, 1, 0, 0, 0, 0, 0, 0];
      t.equal(verdictOf(discovery(type, [...nonce, ...forged])), 'spoofed-source', 'as a second option');
      t.equal(verdictOf(discovery(type, forged, padding)), 'spoofed-source', 'behind an extension header');
    }
  t.equal(verdictOf(discovery(135, [])), 'forward', 'without an option');
  t.equal(verdictOf(discovery(128, [1, 1, ...FORGED])), 'forward', 'an echo has data, no options');
  t.equal(
    verdictOf(discovery(135, [1, 0, ...FORGED])),
    'forward',
    'the kernel ignores an option of length zero',
  );
  t.equal(verdictOf(discovery(135, [1, 1, ...FORGED]).slice(0, -8)), 'egress-malformed', 'cut short');
});

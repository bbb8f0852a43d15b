import t from 'tap';
import { type DissectOptions, dissect } from '../../../encap/dissect.ts';
import { type LayerView, layerView } from '../../../src/web/capture/layer-view.ts';
import { Random } from '../../fixtures/random.ts';
import { ethernet, ip, joined, randomPacket, tcp, udp, V4, V6, vxlan } from '../capture/fixtures/frames.ts';

/* The packets that are taken apart may come from anyone: good ones must be read right, the others must do no harm. */

const OVERLAY = { mode: 'vxlan', port: 8472 } as const;
/** The layers with what the page shows of them. */
const layersOf = (
  bytes: Uint8Array,
  length: number,
  link: 'ethernet' | 'ip',
  overlay?: DissectOptions['overlay'],
) => dissect(bytes, link, { length, overlay }).map(layer => ({ ...layer, ...layerView(layer) }));
const names = (layers: readonly LayerView[]) => layers.map(({ name }) => name);
const field = (layer: LayerView | undefined, label: string) =>
  layer?.fields.find(([name]) => name === label)?.[1];

const segment = { from: 40000, to: 80, sequence: 7, flags: 0x18 };
const inner = ethernet(ip(V4, 6, tcp(segment, Uint8Array.of(1, 2, 3), V4)));

t.test('a datagram of the overlay, down to the data inside', async t => {
  const bytes = vxlan(inner, 5);
  const layers = layersOf(bytes, bytes.length, 'ethernet', OVERLAY);
  t.strictSame(names(layers), ['Ethernet', 'IPv4', 'UDP', 'VXLAN', 'Ethernet', 'IPv4', 'TCP', 'Data']);
  t.equal(field(layers[3], 'Network identifier'), '5');
  t.equal(field(layers[3], 'Flags'), '0x08000000');
  t.match(field(layers[5], 'Checksum'), /^0x[\da-f]{4} \(right\)$/);
  t.equal(field(layers[6], 'Sequence'), '7');
  let end = 0;
  for (const { offset, length } of layers) {
    t.equal(offset, end, 'each begins where the one before ends');
    end = offset + length;
  }
  t.equal(end, bytes.length);
});

t.test('without the overlay, or one inside of another, a datagram is data', async t => {
  const bytes = vxlan(inner, 5);
  t.strictSame(names(layersOf(bytes, bytes.length, 'ethernet')), ['Ethernet', 'IPv4', 'UDP', 'Data']);
  const twice = vxlan(bytes, 6);
  t.strictSame(names(layersOf(twice, twice.length, 'ethernet', OVERLAY)).slice(3), [
    'VXLAN',
    'Ethernet',
    'IPv4',
    'UDP',
    'Data',
  ]);
});

t.test("flannel's udp format: IP inside of UDP, IPv6, a tag", async t => {
  const packet = ip(V4, 17, udp(1, 8285, ip(V6, 17, udp(5, 6, Uint8Array.of(9), V6)), V4));
  const layers = layersOf(packet, packet.length, 'ip', { mode: 'udp', port: 8285 });
  t.strictSame(names(layers), ['IPv4', 'UDP', 'IPv6', 'UDP', 'Data']);
  const tagged = ethernet(packet, [100]);
  t.equal(field(layersOf(tagged, tagged.length, 'ethernet')[0], 'VLAN tag 1'), 'vlan 100, p 0');
});

t.test('what the snap length cut off is not made up', async t => {
  const bytes = vxlan(inner, 5);
  for (let kept = 0; kept <= bytes.length; kept++) {
    const layers = layersOf(bytes.slice(0, kept), bytes.length, 'ethernet', OVERLAY);
    const last = layers.at(-1);
    t.ok(kept === 0 ? last === undefined : last!.offset + last!.length === kept, `${kept} bytes`);
  }
});

t.test('a wrong checksum and lengths that lie are said', async t => {
  const broken = joined(ip(V4, 17, udp(1, 2, Uint8Array.of(1), V4)));
  broken[8] = 1;
  t.match(field(layersOf(broken, broken.length, 'ip')[0], 'Checksum'), /wrong/);
  broken[2] = 0xff;
  t.match(layersOf(broken, broken.length, 'ip')[0], { name: 'IPv4', summary: /cut short or broken/ });
});

t.test('any bytes at all', async t => {
  const random = new Random(20);
  for (let run = 0; run < 3000; run++) {
    const link = random.pick(['ethernet', 'ip'] as const);
    const bytes = randomPacket(random, link === 'ip' ? 'raw' : 'ethernet');
    for (let flips = random.between(0, 6); flips > 0; flips--)
      bytes[random.between(0, bytes.length - 1)] = random.between(0, 255);
    const cut = bytes.slice(0, random.between(0, bytes.length));
    const layers = layersOf(cut, random.between(0, 70_000), link, OVERLAY);
    const inside = layers.every(
      ({ offset, length }) => offset >= 0 && length >= 0 && offset + length <= cut.length,
    );
    if (!inside) t.fail(`run ${run}: ${JSON.stringify(layers)}`);
  }
  t.pass('no layer reaches beyond what was captured');
});

import { check, write } from '../../encap/vxlan.ts';
import { sum } from '../../encap/wire/checksum.ts';
import { emit, type Ipv4, parse } from '../../encap/wire/ipv4.ts';
import { native } from '../../src/native/load.ts';
import type { Case } from './case.ts';

const REPEAT = 256;

function memory(bytes: number): { slab: Uint8Array; view: DataView } {
  const buffer = new SharedArrayBuffer(bytes);
  const slab = new Uint8Array(buffer);
  for (let i = 0; i < bytes; i++) slab[i] = Math.imul(i + 1, 0x9e3779b1) >>> 24;
  return { slab, view: new DataView(buffer) };
}

/** Writing and checking headers. */
export function headers(): Case[] {
  const { view } = memory(REPEAT * 64);
  const written = memory(REPEAT * 64);
  for (let i = 0; i < REPEAT; i++) write(written.view, i * 64, 1);
  const ip = memory(64);
  ip.slab.set([0x45, 0, 0, 60, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 244, 1, 2, 10, 244, 2, 2]);
  const header = parse(ip.view, 0, 60) as Ipv4;
  return [
    {
      name: 'VXLAN header, write',
      size: '',
      operations: REPEAT,
      run() {
        for (let i = 0; i < REPEAT; i++) write(view, i * 64, i);
        return view.getInt32(4);
      },
    },
    {
      name: 'VXLAN header, check',
      size: '',
      operations: REPEAT,
      run() {
        let bad = 0;
        for (let i = 0; i < REPEAT; i++) bad += check(written.view, i * 64, 64, 1);
        return bad;
      },
    },
    {
      name: 'IPv4 header, emit',
      size: '',
      operations: REPEAT,
      run() {
        let end = 0;
        for (let i = 0; i < REPEAT; i++) end += emit(view, i * 64, header);
        return end;
      },
    },
  ];
}

/** The Internet checksum in JavaScript. */
export function checksums(): Case[] {
  const sizes = [64, 1400, 65_000];
  const { view } = memory(65_536);
  return sizes.map(size => ({
    name: 'checksum, JavaScript',
    size: `${size} B`,
    operations: 1,
    run: () => sum(view, 0, size, 0),
  }));
}

/** What crossing into the addon costs. */
export function nativeCalls(): Case[] {
  const event = native.eventOpen();
  return [
    {
      name: 'native call with a system call',
      size: '',
      operations: REPEAT,
      run() {
        for (let i = 0; i < REPEAT; i++) native.eventSignal(event);
        return REPEAT;
      },
    },
  ];
}

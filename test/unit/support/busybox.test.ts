import { writeFileSync } from 'node:fs';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';
import { staticBusybox } from '../../fixtures/qemu/busybox.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';

const { isStatic } = (await import(`${CHECKOUT}.ci/busybox.mjs`)) as { isStatic(file: string): boolean };

/** A 64-bit ELF file with one program header of this type. */
function elf(type: number): Buffer {
  const file = Buffer.alloc(64 + 56);
  file.write('\x7fELF', 'latin1');
  file.set([2, 1, 1], 4);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(1, 56);
  file.writeUInt32LE(type, 64);
  return file;
}

t.test('a program is static when it is an ELF file that names no loader', async t => {
  const folder = t.testdir();
  const verdict = (name: string, content: Buffer | string) => {
    writeFileSync(`${folder}/${name}`, content);
    return isStatic(`${folder}/${name}`);
  };
  t.equal(verdict('load', elf(1)), true);
  t.equal(verdict('interp', elf(3)), false);
  t.equal(verdict('script', '#!/bin/sh\n'), false);
  t.equal(verdict('empty', ''), false);
  t.equal(isStatic(process.execPath), false, 'Node needs its libraries');
});

t.test('the busybox of the tests is static', { skip: skipUnless('static busybox') }, async t => {
  t.equal(isStatic(staticBusybox()!), true);
});

import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { CHECKOUT } from '../../../bench/lab/tool.ts';

t.test('a worker names its thread, which /proc shows', async t => {
  const module = `${CHECKOUT}dist/src/dataplane/threads/thread-name.js`;
  const text = `
    const { parentPort } = require('node:worker_threads');
    import(${JSON.stringify(module)}).then(({ nameThread }) => {
      nameThread('egress-0, a name that is too long');
      parentPort.postMessage(require('node:fs').readFileSync('/proc/thread-self/comm', 'utf8').trim());
    });`;
  const name = await new Promise(resolve => new Worker(text, { eval: true }).once('message', resolve));
  t.equal(name, 'egress-0, a nam');
  t.notMatch(readFileSync('/proc/self/comm', 'utf8'), /egress/, 'no other thread has it');
});

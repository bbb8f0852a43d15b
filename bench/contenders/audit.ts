import { CHECKOUT } from '../lab/tool.ts';
import type { Contender } from './contender.ts';
import { AS_AGENTS_DO, deployRipstop } from './ripstop.ts';

const MAIN = `${CHECKOUT}dist/src/cli/main.js`;
/** Length of one audit, s, and the time between two reads of the drops, ms. */
const AUDIT_SECONDS = '30';
const READ_MS = 1000;

/** Ripstop vxlan while one audit follows the other on each node, and its drops are read every second. */
export const audit: Contender = {
  label: 'vxlan, audited',
  unavailable: () => undefined,
  async deploy(lab, options) {
    const deployment = await deployRipstop(lab, options, AS_AGENTS_DO);
    const readers = lab.nodes.map((node, index) =>
      node.ns.launch([process.execPath, '-e', program(deployment.processes[index]!.socket)]),
    );
    const stop = async () => {
      await Promise.all(readers.map(reader => reader.stop()));
      await deployment.stop();
    };
    try {
      await Promise.all(readers.map(reader => reader.saying(/auditing/)));
    } catch (error) {
      await stop();
      throw error;
    }
    return { mtu: deployment.mtu, stop };
  },
};

/** A program that asks until it is stopped, and ends its children then. It fails if a command fails. */
function program(socket: string): string {
  return `
    const { spawn } = require('node:child_process');
    const children = new Set();
    const run = (...words) => {
      const child = spawn(process.execPath, [${JSON.stringify(MAIN)}, 'drops', '--json', '--socket', ${JSON.stringify(socket)}, ...words]);
      child.stdout.resume();
      children.add(child);
      return new Promise(done => child.on('exit', code => {
        children.delete(child);
        if (code !== 0 && !isOver) process.exit(1);
        done();
      }));
    };
    let isOver = false;
    process.on('SIGTERM', () => {
      isOver = true;
      for (const child of children) child.kill();
      process.exit(0);
    });
    const audits = async () => { for (;;) await run('--audit', '--duration', '${AUDIT_SECONDS}'); };
    const reads = async () => { for (;;) { await run(); await new Promise(next => setTimeout(next, ${READ_MS})); } };
    audits();
    reads();
    setTimeout(() => console.log('auditing'), ${READ_MS});`;
}

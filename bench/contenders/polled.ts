import { CHECKOUT } from '../lab/tool.ts';
import type { Contender } from './contender.ts';
import { AS_AGENTS_DO, deployRipstop } from './ripstop.ts';

const MAIN = `${CHECKOUT}dist/src/cli/main.js`;
/** Time for the first commands to begin, ms. */
const BEGIN_MS = 1000;

/** A command that is repeated at each node while one measures. */
export interface Polled {
  readonly words: readonly string[];
  /** Between the end of one and the start of the next, ms; 0: none. */
  readonly pauseMs: number;
}

/** Ripstop vxlan while each node is asked the same things again and again. */
export function polled(label: string, commands: readonly Polled[]): Contender {
  return {
    label,
    unavailable: () => undefined,
    async deploy(lab, options) {
      const deployment = await deployRipstop(lab, options, AS_AGENTS_DO);
      const readers = lab.nodes.map((node, index) =>
        node.ns.launch([process.execPath, '-e', program(deployment.processes[index]!.socket, commands)]),
      );
      const stop = async () => {
        await Promise.all(readers.map(reader => reader.stop()));
        await deployment.stop();
      };
      try {
        await Promise.all(readers.map(reader => reader.saying(/polling/)));
      } catch (error) {
        await stop();
        throw error;
      }
      return { mtu: deployment.mtu, stop };
    },
  };
}

/** A program that asks until it is stopped, and ends its children then. It fails if a command fails. */
function program(socket: string, commands: readonly Polled[]): string {
  return `
    const { spawn } = require('node:child_process');
    const children = new Set();
    const run = words => {
      const child = spawn(process.execPath, [${JSON.stringify(MAIN)}, ...words, '--json', '--socket', ${JSON.stringify(socket)}]);
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
    const repeat = async ({ words, pauseMs }) => {
      for (;;) {
        await run(words);
        await new Promise(next => setTimeout(next, pauseMs));
      }
    };
    for (const command of ${JSON.stringify(commands)}) repeat(command);
    setTimeout(() => console.log('polling'), ${BEGIN_MS});`;
}

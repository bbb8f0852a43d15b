import { CHECKOUT } from '../lab/tool.ts';
import type { Contender } from './contender.ts';
import { AS_AGENTS_DO, deployRipstop } from './ripstop.ts';

const MAIN = `${CHECKOUT}dist/src/cli/main.js`;
const SNAP_LENGTH = '128';
/** Rotation, so that minutes of traffic do not fill the disk. */
const FILES = ['--rotate-size', '20M', '--keep', '2'];

/** Ripstop vxlan while `ripstop capture` writes all that the receiving node sees to a file, cut to 128 bytes a packet. */
export const capture: Contender = {
  label: 'vxlan, captured',
  unavailable: () => undefined,
  async deploy(lab, options) {
    const deployment = await deployRipstop(lab, options, AS_AGENTS_DO);
    const [node, { socket }] = [lab.nodes.at(-1)!, deployment.processes.at(-1)!];
    const words = ['--write', `${socket}.pcapng`, '--snap-length', SNAP_LENGTH, ...FILES, '--socket', socket];
    const running = node.ns.launch([process.execPath, MAIN, 'capture', ...words]);
    const stop = async () => {
      await running.stop();
      await deployment.stop();
    };
    try {
      await running.saying(/capturing/);
    } catch (error) {
      await stop();
      throw error;
    }
    return { mtu: deployment.mtu, stop };
  },
};

/*
 * The agent's CNI side alone, for the benchmark: works on the calls that the thin executables hand over.
 *   node dist/bench/cni/agent.js SOCKET      prints `serving`
 */
import { loadPlugin } from '../../src/cni/plugins.ts';
import { serveCni } from '../../src/cni/shim/serve.ts';
import { kernelNamespaces } from '../../src/cni/skel/namespace.ts';

const [socket = ''] = process.argv.slice(2);
const host = {
  clock: () => performance.now(),
  netns: '',
  namespaces: kernelNamespaces,
  log: (line: string) => void process.stderr.write(`${line}\n`),
  own: loadPlugin,
  agent: { trouble: () => undefined },
};
await serveCni(socket, host, `${socket}-calls`);
process.stdout.write('serving\n');

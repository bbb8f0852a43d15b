/*
 * The API server of a churn run, as a process in a node's namespace. It does what it is asked for on a unix socket:
 *   node dist/bench/soak/churn/kube-server.js ADDRESS SOCKET        prints `listening URL`
 */
import { createServer } from 'node:http';
import { annotationNames, toAnnotations } from '../../../src/agent/store/kube/node.ts';
import { KubeApi } from '../../../test/fixtures/kube/kube-api.ts';
import type { Foreign } from './peers.ts';

export type KubeCommand =
  | { readonly do: 'add'; readonly name: string; readonly podCIDRs: readonly string[] }
  | { readonly do: 'put'; readonly peer: Foreign }
  | { readonly do: 'delete'; readonly name: string }
  | { readonly do: 'down' | 'up' };

const [, , address = '127.0.0.1', socket = ''] = process.argv;
const names = annotationNames('flannel.alpha.coreos.com');
const api = await KubeApi.start(address);

async function obey(command: KubeCommand): Promise<void> {
  switch (command.do) {
    case 'add':
      return api.addNode(command.name, { podCIDRs: [...command.podCIDRs] });
    case 'put': {
      const { name, subnets, attributes } = command.peer;
      const annotations = toAnnotations(attributes, names);
      if (api.nodes.has(name)) return api.annotate(name, annotations);
      return api.addNode(name, { podCIDRs: [...subnets] }, annotations);
    }
    case 'delete':
      return api.deleteNode(command.name);
    case 'down':
      // Its clients list again after a restart, and this process must not grow either.
      api.compact();
      api.requests.length = 0;
      api.events.length = 0;
      return api.down();
    case 'up':
      return api.up();
  }
}

createServer(async (request, response) => {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  try {
    for (const command of JSON.parse(text) as KubeCommand[]) await obey(command);
    response.end();
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
}).listen(socket, () => process.stdout.write(`listening ${api.url}\n`));

/*
 * Visits everything that an agent serves on TCP, from inside its namespace, as probes, Prometheus and a browser do; and as a
 * client does that hangs up.
 *   node dist/bench/soak/churn/visitor.js HEALTH-PORT WEB-PORT TOKEN ROUNDS       prints `visited N`
 */
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';

const [, , health = '', web = '', token = '', rounds = '1'] = process.argv;
let visited = 0;

interface Visit {
  readonly port: string;
  readonly path: string;
  readonly method?: string;
  readonly body?: object;
  /** Closes the connection at the first byte of the answer. */
  readonly hangUp?: boolean;
}

async function visit(
  agent: Agent | false,
  { port, path, method = 'GET', body, hangUp }: Visit,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const headers = port === web ? { authorization: `Bearer ${token}` } : {};
    const call = request(
      { host: '127.0.0.1', port, path, method, agent, headers },
      (response: IncomingMessage) => {
        const { statusCode = 0 } = response;
        if (statusCode >= 500 && statusCode !== 503) reject(new Error(`${path}: ${statusCode}`));
        visited++;
        if (hangUp) {
          response.destroy();
          resolve();
          return;
        }
        response.resume();
        response.on('end', () => resolve());
        response.on('error', reject);
      },
    );
    call.on('error', error => (hangUp ? resolve() : reject(error)));
    call.end(body && JSON.stringify(body));
  });
}

/** Sends bytes that no server can read as a request. */
async function rubbish(port: string): Promise<void> {
  await new Promise<void>(resolve => {
    const socket = connect(Number(port), '127.0.0.1', () => socket.end('\0\x01GET / nothing\r\n\r\n'));
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.resume();
  });
}

const capture = {
  ...{ device: '', points: [], verdicts: [], peer: '', filter: 'udp', snapLength: 128, packets: 50 },
};

for (let round = 0; round < Number(rounds); round++) {
  const keepAlive = new Agent({ keepAlive: true });
  for (const agent of [keepAlive, false as const]) {
    for (const path of ['/healthz', '/readyz', '/metrics', '/nothing'])
      await visit(agent, { port: health, path });
    await visit(agent, { port: health, path: '/metrics', hangUp: true });
    for (const path of ['/', '/api/view', `/api/view?since=${Date.now() - 5000}`, '/api/capture'])
      await visit(agent, { port: web, path });
    await visit(agent, { port: web, path: '/api/capture', method: 'POST', body: capture });
    await visit(agent, { port: web, path: '/api/capture' });
    await visit(agent, { port: web, path: '/api/capture.pcapng' });
    await visit(agent, { port: web, path: '/api/capture', method: 'DELETE' });
  }
  keepAlive.destroy();
  for (const port of [health, web]) await rubbish(port);
}
process.stdout.write(`visited ${visited}\n`);

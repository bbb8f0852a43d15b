import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A real etcd (Debian's `etcd`) on loopback with its data in a temporary directory. */
export class EtcdServer {
  readonly url: string;
  readonly #directory = mkdtempSync(join(tmpdir(), 'rs-etcd-'));
  readonly #peerPort: number;
  #flags: readonly string[];
  readonly #clientFlags: readonly string[];
  #process: ChildProcess | undefined;

  private constructor(
    port: number,
    peerPort: number,
    scheme: string,
    flags: readonly string[],
    clientFlags: readonly string[],
  ) {
    this.url = `${scheme}://127.0.0.1:${port}`;
    this.#peerPort = peerPort;
    this.#flags = flags;
    this.#clientFlags = clientFlags;
  }

  /** Starts one. `flags` go to etcd, `clientFlags` to etcdctl (TLS files). */
  static async start(
    scheme = 'http',
    flags: readonly string[] = [],
    clientFlags: readonly string[] = [],
  ): Promise<EtcdServer> {
    const server = new EtcdServer(await freePort(), await freePort(), scheme, flags, clientFlags);
    await server.up();
    return server;
  }

  /** Starts the process (again, after `down`) and waits until it answers. */
  async up(): Promise<void> {
    const peer = `http://127.0.0.1:${this.#peerPort}`;
    const own = ['--name', 'test', '--data-dir', this.#directory, '--listen-client-urls', this.url];
    const cluster = [
      '--advertise-client-urls',
      this.url,
      '--listen-peer-urls',
      peer,
      '--initial-advertise-peer-urls',
      peer,
    ];
    const rest = [
      '--initial-cluster',
      `test=${peer}`,
      '--logger',
      'zap',
      '--log-outputs',
      'stderr',
      ...this.#flags,
    ];
    this.#process = spawn('etcd', [...own, ...cluster, ...rest], { stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    this.#process.stderr!.on('data', chunk => {
      log = (log + chunk).slice(-4000);
    });
    for (const end = performance.now() + 15_000; ; ) {
      try {
        await this.ctl('endpoint', 'status');
        return;
      } catch (error) {
        if (performance.now() > end || this.#process.exitCode !== null)
          throw new Error(`etcd does not start: ${error}\n${log}`);
        await new Promise(resolve => setTimeout(resolve, 100));
      }
    }
  }

  /** Ends the process; the data stays. */
  async down(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise(resolve => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  /** Takes the data away, after `down`: the next start is another cluster, and has the id of this token. */
  wipe(token: string): void {
    this.#flags = [...this.#flags, '--initial-cluster-token', token];
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async stop(): Promise<void> {
    await this.down('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Runs etcdctl against it; what it printed. */
  async ctl(...words: string[]): Promise<string> {
    const env = { ...process.env, ETCDCTL_API: '3' };
    const { stdout } = await run(
      'etcdctl',
      ['--endpoints', this.url, '--dial-timeout=1s', ...this.#clientFlags, ...words],
      { env },
    );
    return stdout.trim();
  }

  async put(key: string, value: string): Promise<void> {
    await this.ctl('put', key, '--', value);
  }
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

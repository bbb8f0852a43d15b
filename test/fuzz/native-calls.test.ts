import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { CHECKOUT } from '../../bench/lab/tool.ts';
import { native } from '../../src/native/load.ts';
import { buildSanitized, sanitizedEnvironment } from '../fixtures/sanitized.ts';
import { skipUnless } from '../fixtures/skip-unless.ts';
import { campaign } from './campaign/campaign.ts';
import { NATIVE_FUNCTIONS } from './campaign/native-calls.ts';

/*
 * Arguments of the addon: wrong types and lengths, detached and resized buffers, descriptors of the batch with offsets that are
 * negative, huge or behind the slab. A call returns or throws an error with a code; it never ends the process.
 */

const PROGRAM = join(CHECKOUT, 'dist/test/fuzz/campaign/native-caller.js');
/** No call waits so long, on a machine that is busy, ms. */
const ANSWER_MS = 60_000;
/** End of the output of a process, where a sanitizer reports. */
const OUTPUT_MAX = 20_000;

interface Answer {
  readonly isReady?: true;
  readonly isReturned?: boolean;
  readonly fault?: string;
}

/** The process that makes the calls, in a network namespace of its own; another one after a crash. */
class Caller {
  readonly #env: NodeJS.ProcessEnv;
  #child: ChildProcess | undefined;
  #said = '';

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
  }

  async call(input: Uint8Array): Promise<boolean> {
    if (!this.#child) await this.start();
    const { isReturned, fault } = await this.#answer(() => this.#child?.send(input));
    if (isReturned === undefined) throw new Error(fault ?? 'no answer');
    return isReturned;
  }

  stop(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  /** Before the first call, which is timed. */
  async start(): Promise<void> {
    const node = ['ip', 'link', 'set', 'lo', 'up', '&&', 'exec', '"$@"'].join(' ');
    const command = ['--net', 'sh', '-c', node, 'sh', process.execPath, PROGRAM];
    this.#said = '';
    const child = spawn('unshare', command, {
      env: this.#env,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-OUTPUT_MAX);
    });
    this.#child = child;
    await this.#answer(() => undefined);
  }

  async #answer(send: () => void): Promise<Answer> {
    const child = this.#child;
    if (!child) throw new Error('no process');
    return new Promise((resolve, reject) => {
      const end = (problem?: string, answer?: Answer) => {
        clearTimeout(timer);
        child.removeListener('message', onMessage).removeListener('close', onClose);
        if (answer) return resolve(answer);
        this.stop();
        const lines = this.#said.trim().split('\n');
        const output = lines.filter((line, at) => at === lines.length - 1 || !/^\w+$/.test(line));
        reject(
          new Error(`${problem} in ${lines.findLast(line => /^\w+$/.test(line))}: ${output.join('\n')}`),
        );
      };
      const onMessage = (message: unknown) => end(undefined, message as Answer);
      const onClose = (code: number | null, signal: string | null) => end(`ended with ${signal ?? code}`);
      const timer = setTimeout(() => end('no answer'), ANSWER_MS);
      child.once('message', onMessage).once('close', onClose);
      send();
    });
  }
}

/** For each function a call as it should be, and one with a wrong first argument. */
const SEEDS = NATIVE_FUNCTIONS.flatMap((_, at) => [Uint8Array.of(at), Uint8Array.of(at, 255)]).map(head =>
  Uint8Array.of(...head, ...new Uint8Array(40)),
);

/** Seeds that are right calls, on a kernel that has what they ask for. */
const ACCEPTED = 28;

const skip = skipUnless('root', 'netns', 'tun', 'ip');

t.test('the fuzzer knows every function of the addon', async t => {
  const exported = Object.entries(native).filter(([, value]) => typeof value === 'function');
  t.same(NATIVE_FUNCTIONS, exported.map(([name]) => name).sort());
});

t.test('calls with any arguments return or throw', { skip }, async t => {
  const caller = new Caller(process.env);
  t.teardown(() => caller.stop());
  await caller.start();
  await campaign(t, {
    name: 'calls',
    seeds: SEEDS,
    leastAccepted: ACCEPTED,
    parse: input => caller.call(input),
  });
});

t.test('calls with any arguments touch no byte outside their buffers', { skip }, async t => {
  buildSanitized();
  const caller = new Caller(sanitizedEnvironment());
  t.teardown(() => caller.stop());
  await caller.start();
  await campaign(t, {
    name: 'sanitized-calls',
    seeds: SEEDS,
    leastAccepted: ACCEPTED,
    parse: input => caller.call(input),
  });
});

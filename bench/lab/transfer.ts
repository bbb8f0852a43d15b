import type { Namespace } from '../../src/lab/namespace.ts';
import { PATIENCE_MS } from '../../src/lab/until.ts';
import { tool } from './tool.ts';

export interface TransferOptions {
  from: Namespace;
  to: Namespace;
  /** Address of `to` that the receiver binds and the sender connects to; its family decides the inner family. */
  address: string;
  bytes: number;
  /** Decides the content. */
  seed?: number;
  /** Bound of both ends and of the waits for them; PATIENCE_MS unless told. */
  timeoutMs?: number;
  /** TCP port; 0 lets the receiver choose. */
  port?: number;
}

export interface TransferResult {
  /** SHA-256 of what was sent and of what arrived. */
  sent: string;
  received: string;
  /** Bytes that arrived. */
  bytes: number;
  /** From the connection's start until the receiver's word that it has the last byte. */
  seconds: number;
  /** True when every byte arrived as it was sent. */
  intact: boolean;
}

interface Report {
  bytes: number;
  seconds: number;
  sha256: string;
}

/**
 * Streams `bytes` of seeded data over one TCP connection and compares SHA-256 at both ends.
 * @throws RipstopError when one end fails or the time is over
 */
export async function transfer(options: TransferOptions): Promise<TransferResult> {
  const { from, to, address, bytes, seed = 1, timeoutMs = PATIENCE_MS, port = 0 } = options;
  const program = tool('transfer');
  const seconds = String(Math.ceil(timeoutMs / 1000));
  const receiver = to.launch([program, 'receive', address, String(port), seconds]);
  try {
    const [, bound] = await receiver.saying(/^listening (\d+)$/m);
    const sender = from.launch([program, 'send', address, bound!, String(bytes), String(seed), seconds]);
    try {
      const sent = JSON.parse(await sender.success(timeoutMs)) as Report;
      const received = JSON.parse((await receiver.success(timeoutMs)).split('\n')[1]!) as Report;
      const intact = sent.sha256 === received.sha256 && received.bytes === bytes;
      return {
        sent: sent.sha256,
        received: received.sha256,
        bytes: received.bytes,
        seconds: sent.seconds,
        intact,
      };
    } finally {
      sender.kill('SIGKILL');
    }
  } finally {
    receiver.kill('SIGKILL');
  }
}

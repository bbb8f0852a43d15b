/** Attempts before an answer counts as missing, and the wait for each, milliseconds. */
const TRIES = 2;
const TIMEOUT_MS = 500;

/** Whether an IP packet of `bytes` with DF is answered over the underlay. @throws when this process may not open raw sockets */
export async function probePath(address: string, bytes: number): Promise<boolean> {
  const { Prober } = await import('./prober.ts');
  const prober = new Prober();
  try {
    for (let attempt = 0; attempt < TRIES; attempt++)
      if ((await prober.echo(address, bytes, TIMEOUT_MS)) !== undefined) return true;
    return false;
  } finally {
    prober.close();
  }
}

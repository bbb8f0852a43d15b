import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import type { Namespace } from '../../bench/lab/namespace.ts';

interface Owner {
  teardown(undo: () => unknown): void;
}

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** What a page did that a good one does not. */
export interface Faults {
  /** Addresses it asked for outside of its own server. */
  readonly foreign: string[];
  /** Errors and warnings of its console, refusals of the content security policy among them. */
  readonly said: string[];
}

/** Headless Chromium inside of a namespace: the loopback of that node is its own. Ends with the test. */
export async function browserIn(
  t: Owner,
  ns: Namespace,
  options: BrowserContextOptions = {},
): Promise<BrowserContext> {
  const folder = mkdtempSync(join(tmpdir(), 'rs-chromium-'));
  // `ip netns exec` passes the descriptors of the pipe on, and Playwright takes one executable.
  const start = join(folder, 'chromium');
  writeFileSync(start, `#!/bin/sh\nexec ip netns exec ${ns.name} chromium "$@"\n`);
  chmodSync(start, 0o755);
  const context = await chromium.launchPersistentContext(join(folder, 'profile'), {
    executablePath: start,
    headless: true,
    chromiumSandbox: false,
    args: FLAGS,
    viewport: { width: 1280, height: 900 },
    reducedMotion: 'reduce',
    ...options,
  });
  t.teardown(async () => {
    await context.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return context;
}

/** Keeps account of what a page does from now on. */
export function faultsOf(page: Page, origin: string): Faults {
  const faults: Faults = { foreign: [], said: [] };
  page.on('request', request => {
    const url = request.url();
    if (!url.startsWith(`${origin}/`) && !url.startsWith('blob:') && !url.startsWith('data:'))
      faults.foreign.push(url);
  });
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) faults.said.push(message.text());
  });
  page.on('pageerror', error => faults.said.push(String(error)));
  return faults;
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe finds wrong for those who do not see the page, or see it badly: WCAG 2.1 AA and good practice. */
export async function hurdlesOf(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(`axe.run().then(({ violations }) =>
    violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ': ' + html.slice(0, 120))))`);
}

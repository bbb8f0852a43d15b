import { CHECKOUT } from '../../../bench/lab/tool.ts';

interface Finder {
  findStaticBusybox(): string | undefined;
}

// The bootstrap is plain JavaScript, which runs before anything is compiled.
const finder = (await import(`${CHECKOUT}.ci/busybox.mjs`)) as Finder;

/** Path of a busybox that needs no library; undefined when there is none. `npm test` fetches it. */
export const staticBusybox = (): string | undefined => finder.findStaticBusybox();

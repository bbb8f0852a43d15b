import { native } from '../native/load.ts';
import { inNamespace } from './error.ts';

interface TapOptions {
  /** Several queues can be attached. */
  multiQueue: boolean;
  /** Ids that may attach to the device without CAP_NET_ADMIN; anyone may where both are absent. */
  owner?: number | undefined;
  group?: number | undefined;
}

/** Makes a persistent TAP device for another program, for example a hypervisor. @throws NetError EBUSY when the name is taken */
export function createTap(
  netns: string,
  name: string,
  { multiQueue, owner = -1, group = -1 }: TapOptions,
): void {
  inNamespace(netns, `create tap device ${name}`, () =>
    native.tapCreate(netns, name, Number(multiQueue), owner, group),
  );
}

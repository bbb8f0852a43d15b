import type { DeployOptions } from '../../src/lab/deploy/deployment.ts';
import * as deployed from '../../src/lab/deploy/ripstop.ts';
import type { Lab } from '../../src/lab/topology.ts';
import { CHECKOUT } from '../lab/tool.ts';
import type { Contender, MeasuredDeployment } from './contender.ts';
import { type Audited, audited } from './fate.ts';

export type { RipstopProcess } from '../../src/lab/deploy/ripstop.ts';

export interface RipstopOptions extends Omit<deployed.RipstopOptions, 'main'> {
  /** Column title when it is not the mode's. */
  label?: string;
  /** False: UDP is measured without an audit meanwhile. */
  audit?: boolean;
}

/** Two nodes as their agents set them up: each leaves inner checksums open for the other (docs/decisions/0003). */
export const AS_AGENTS_DO = { mode: 'vxlan', remoteChecksum: true } as const satisfies RipstopOptions;

/** Ripstop in place. */
export interface RipstopDeployment extends MeasuredDeployment, deployed.RipstopDeployment {}

/** `ripstop run` of this checkout on every node. */
export function ripstop(options: RipstopOptions): Contender {
  return {
    label: options.label ?? 'Ripstop',
    audits: options.audit !== false,
    unavailable: deployed.noTunnelDevice,
    deploy: (lab, request) => deployRipstop(lab, request, options),
  };
}

/** As the contender does, and tells of its processes. */
export async function deployRipstop(
  lab: Lab,
  request: DeployOptions,
  { label: _, audit, ...options }: RipstopOptions,
): Promise<RipstopDeployment> {
  const main = `${CHECKOUT}dist/src/cli/main.js`;
  const deployment = await deployed.deployRipstop(lab, request, { ...options, main });
  const [one, two] = lab.nodes.map(
    (node, at): Audited => ({ node, socket: deployment.processes[at]!.socket }),
  );
  return {
    ...deployment,
    pids: deployment.processes.map(({ pid }) => pid),
    ...(audit !== false && { audited: (seconds, task) => audited([one!, two!], seconds, task) }),
  };
}

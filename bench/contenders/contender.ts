import type { Deployment, DeployOptions } from '../../src/lab/deploy/deployment.ts';
import type { Lab } from '../../src/lab/topology.ts';
import type { Fate } from './fate.ts';

/** What lies between the nodes of a lab. One file a contender implements this. */
export interface Contender {
  /** Column title. */
  label: string;
  /** It encrypts and authenticates packets, so that it is not compared with those that do not. */
  sealed?: true;
  /** Its deployment accounts for the packets of a task (`Deployment.audited`). */
  audits?: boolean;
  /** Version of its program; undefined for the kernel and for Ripstop, whose versions every report has. */
  version?(): string | undefined;
  /** Why it cannot run here, or undefined when it can. */
  unavailable(): string | undefined;
  /** Joins all nodes of `lab`; throws when it does not come up, with nothing left behind. */
  deploy(lab: Lab, options: DeployOptions): Promise<MeasuredDeployment>;
}

/** A contender in place. */
export interface MeasuredDeployment extends Deployment {
  /** Its processes, one per node in the order of the lab; none where the kernel carries the packets. */
  pids?: readonly number[];
  /** Runs a task, at most `seconds` long, and accounts for the packets from the first node to the second; where it can. */
  audited?<T>(seconds: number, task: () => Promise<T>): Promise<{ result: T; fate: Fate }>;
}

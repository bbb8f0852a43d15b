import type { Family } from '../../../encap/encap.ts';

export interface DeployOptions {
  /** Family of the outer packets. */
  underlay: Family;
}

/** What joins the nodes of a lab, in place. */
export interface Deployment {
  /** Largest inner IP packet. */
  mtu: number;
  /** Takes it down; the lab can then carry another one. */
  stop(): Promise<void>;
  /** Lets its processes outlive this one. */
  keep?(): void;
}

import type { LabCondition } from '../../src/lab/topology.ts';

/** Whom each condition of the underlay flatters, and why. */
export const FLATTERED: Readonly<Record<LabCondition, { who: string; why: string }>> = {
  nic: { who: 'neither', why: 'the commonest card; GSO packets of both are cut just before it' },
  wirecs: { who: 'neither', why: 'no offloads; both cut packets and sum each byte' },
  def: { who: 'kernel VXLAN', why: 'GSO packets pass whole, without a copy or a sum' },
  wiregro: { who: 'Ripstop', why: 'its messages pass whole, the TCP of the kernel is cut' },
  wire: { who: 'Ripstop', why: 'as wiregro, and nothing is merged at the receiver' },
};

/** `flatters kernel VXLAN: GSO packets pass whole, ...`; '' for a name that is not a condition. */
export function flatteryOf(condition: string): string {
  const known = FLATTERED[condition as LabCondition];
  return known ? `flatters ${known.who}: ${known.why}` : '';
}

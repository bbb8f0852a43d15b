import { cells, indexCells, show } from '../report/rows.ts';
import type { BenchFile } from '../report/samples.ts';

/** From here on a charge explains a ratio to the kernel; most machines that were measured charge less. */
const DEAR_CALL_US = 0.5;
const DEAR_WAKE_US = 5;

/**
 * What Ripstop does more than the kernel's path, per round trip and per byte: at each node a worker is woken, and a frame is
 * copied from the device and to the socket, or back.
 */
const MORE_WAKES = 4;
const MORE_COPIES = 4;

const PIECES_PER_GIGABIT = 1e9 / 8 / (64 << 10);
const OWN = 'vxlan';

/** What the machine of a run is like, and which of its figures follow from that; '' where it was not measured. */
export function machineWords(file: BenchFile): string {
  const { charges } = file.machine;
  if (!charges) return '';
  const us = (ns: number) => (ns / 1000).toFixed(ns < 10_000 ? 2 : 1);
  const { systemCall, wakeNear, wakeFar, copy } = charges;
  const wake = wakeFar ?? wakeNear;
  return [
    'this machine:',
    `  a system call costs ${us(systemCall)} us: ${
      systemCall / 1000 >= DEAR_CALL_US
        ? 'dear, which lowers packet rates and raises round\n  trips of all tunnels in user space, and not those of the kernel'
        : 'cheap'
    }`,
    `  a wake-up costs ${us(wakeNear)} us on one core${wakeFar === null ? '' : `, ${us(wakeFar)} us across cores`}: ${
      wake / 1000 >= DEAR_WAKE_US ? 'dear' : 'cheap'
    }`,
    `  a copy of 64 KiB costs ${us(copy)} us`,
    ...consequences(file, wake / 1000, copy / 1e9),
  ].join('\n');
}

/** @param wakeUs of one wake-up @param copyS of one copy of 64 KiB */
function consequences(file: BenchFile, wakeUs: number, copyS: number): string[] {
  const list = cells(file.samples, 'e2e');
  const find = indexCells(list);
  return [...new Set(list.map(cell => cell.condition))].flatMap(condition => {
    const trip = find(OWN, condition, 'rr50')?.median;
    const cpu = find(OWN, condition, 'cpu')?.median;
    const copies = MORE_COPIES * PIECES_PER_GIGABIT * copyS;
    return [
      ...(trip === undefined
        ? []
        : [
            `  ${condition}: up to ${(MORE_WAKES * wakeUs).toFixed(0)} of the ${show('rr50', trip)} us of a round trip are the ${MORE_WAKES} wake-ups that\n  the path of the kernel does not have`,
          ]),
      ...(cpu === undefined
        ? []
        : [
            `  ${condition}: ${copies.toFixed(3)} of the ${show('cpu', cpu)} s of CPU per gigabit are the ${MORE_COPIES} copies that\n  the path of the kernel does not have`,
          ]),
    ];
  });
}

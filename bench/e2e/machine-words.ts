import type { Charges } from '../lab/versions.ts';
import { cells, distinct, indexCells, show, showRatio } from '../report/rows.ts';
import type { BenchFile } from '../report/samples.ts';
import { isCallDear, isWakeDear, wakeOf } from './machine-class.ts';

/**
 * What Ripstop does more than the kernel's path, per round trip and per byte: at each node a worker is woken, and a frame is
 * copied from the device and to the socket, or back.
 */
const MORE_WAKES = 4;
const MORE_COPIES = 4;

const PIECE_BYTES = 64 << 10;
const PIECES_PER_GIGABIT = 1e9 / 8 / PIECE_BYTES;
const OWN = 'vxlan';
const KERNEL = 'kernel';
/** Sender, receiver, and two workers on each of the two nodes. */
const BUSY_THREADS = 6;

/** What the machine of a run is like, and which of its figures follow from that: sentences. Empty where it was not measured. */
export function machineSentences(file: BenchFile): string[] {
  const { charges, cores } = file.machine;
  if (!charges) return [];
  return [...charged(charges), ...shared(cores), ...consequences(file, charges)];
}

/** The same as text, 80 columns wide. */
export function machineWords(file: BenchFile): string {
  const sentences = machineSentences(file);
  return sentences.length === 0 ? '' : ['this machine:', ...sentences.flatMap(folded)].join('\n');
}

const us = (ns: number) => (ns / 1000).toFixed(ns < 10_000 ? 2 : 1);

function charged(charges: Charges): string[] {
  const { systemCall, wakeNear, wakeFar, copy } = charges;
  const call = isCallDear(charges)
    ? 'dear. That lowers the packet rates and raises the round trips of all tunnels in user space, and not those of the kernel; goals have bounds of their own for it.'
    : 'cheap.';
  const far = wakeFar === null ? '' : `, ${us(wakeFar)} us across cores`;
  const wake = isWakeDear(charges)
    ? 'dear. Round trips of all tunnels in user space follow from it: they wake a thread where the kernel calls a function.'
    : 'cheap.';
  return [
    `A system call costs ${us(systemCall)} us: ${call}`,
    `A wake-up costs ${us(wakeNear)} us on one core${far}: ${wake}`,
    `A copy of 64 KiB costs ${us(copy)} us, ${(PIECE_BYTES / copy).toFixed(1)} GB/s.`,
  ];
}

function shared(cores: number): string[] {
  return cores >= BUSY_THREADS
    ? []
    : [
        `Sender, receiver and the workers of both nodes are ${BUSY_THREADS} threads on ${cores} ${cores === 1 ? 'core' : 'cores'}: TCP throughput is the inverse of the CPU time per gigabit of them all, and several streams find no further core.`,
      ];
}

/** What follows in each condition. */
function consequences(file: BenchFile, charges: Charges): string[] {
  const list = cells(file.samples, 'e2e');
  const find = indexCells(list);
  const median = (who: string, condition: string, figure: Parameters<typeof find>[2]) =>
    find(who, condition, figure)?.median;
  return distinct(list, cell => cell.condition).flatMap(condition => {
    const over = (figure: 'rr50' | 'cpu') => {
      const [own, kernel] = [median(OWN, condition, figure), median(KERNEL, condition, figure)];
      return own !== undefined && kernel ? ` (${showRatio(own / kernel)} of kernel VXLAN)` : '';
    };
    const sentences: string[] = [];
    const trip = median(OWN, condition, 'rr50');
    if (trip !== undefined) {
      const wakes = (MORE_WAKES * wakeOf(charges)) / 1000;
      sentences.push(
        wakes < trip
          ? `${condition}: up to ${wakes.toFixed(0)} of the ${show('rr50', trip)} us of a round trip${over('rr50')} are the ${MORE_WAKES} wake-ups that the path of the kernel does not have.`
          : `${condition}: the ${MORE_WAKES} wake-ups that the path of the kernel does not have would take ${wakes.toFixed(0)} us. A round trip takes ${show('rr50', trip)} us${over('rr50')}: busy polling and neighbours on one core save most of them.`,
      );
    }
    const cpu = median(OWN, condition, 'cpu');
    if (cpu !== undefined) {
      const copies = (MORE_COPIES * PIECES_PER_GIGABIT * charges.copy) / 1e9;
      sentences.push(
        `${condition}: ${copies.toFixed(3)} of the ${show('cpu', cpu)} s of CPU per gigabit${over('cpu')} are the ${MORE_COPIES} copies that the path of the kernel does not have.${spent(condition, median)}`,
      );
    }
    return sentences;
  });
}

/** ` User, system, softirq: 12, 60, 28 %; of kernel VXLAN 1, 69, 30 %.`; '' where it was not measured. */
function spent(
  condition: string,
  median: (
    who: string,
    condition: string,
    figure: 'cpuUser' | 'cpuSystem' | 'cpuSoftirq',
  ) => number | undefined,
): string {
  const shares = (who: string) => {
    const parts = (['cpuUser', 'cpuSystem', 'cpuSoftirq'] as const).map(
      of => median(who, condition, of) ?? 0,
    );
    const sum = parts.reduce((a, b) => a + b, 0);
    return sum === 0 ? undefined : `${parts.map(part => Math.round((part / sum) * 100)).join(', ')} %`;
  };
  const [own, kernel] = [shares(OWN), shares(KERNEL)];
  if (own === undefined) return '';
  return ` User, system and softirq time: ${own}${kernel === undefined ? '' : `; of kernel VXLAN ${kernel}`}.`;
}

const WIDTH = 80;

/** Words in lines of 80 columns, indented by two, from the second line on by four. */
function folded(sentence: string): string[] {
  const lines: string[] = [];
  let line = '  ';
  for (const word of sentence.split(' ')) {
    if (line.length + word.length > WIDTH) {
      lines.push(line.trimEnd());
      line = '    ';
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}

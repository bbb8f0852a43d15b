import { viewOf } from '../../../encap/wire/addresses.ts';
import { RipstopError } from '../../base/errors.ts';

/*
 * The classic BPF machine, for which capture filters are compiled: an accumulator, an index register, sixteen words of
 * memory, a packet. Opcodes: "The BSD Packet Filter" (McCanne, Jacobson 1993) and linux/filter.h.
 *
 * A program is checked once, when it is loaded: known opcodes, forward jumps inside the program, valid memory slots, no
 * constant division by zero, a return at the end. A checked program ends after at most as many steps as it has
 * instructions and stays inside its arrays. A load outside the packet rejects the packet.
 */
export type BpfProgram = readonly Instruction[];

interface Instruction {
  readonly code: number;
  readonly jumpTrue: number;
  readonly jumpFalse: number;
  readonly k: number;
}

/** BPF_MAXINSNS of the kernel. */
const INSTRUCTIONS_MAX = 4096;
const MEMORY_WORDS = 16;
/** Loads from this offset on read metadata of the kernel, not the packet (SKF_AD_OFF). */
const ANCILLARY = 0xfffff000;

/** Instruction classes, the low three bits of a code. */
const LD = 0;
const LDX = 1;
const ST = 2;
const STX = 3;
const ALU = 4;
const JMP = 5;
const RET = 6;
const MISC = 7;

const ABSOLUTE = [0x20, 0x28, 0x30];
const LOADS = [0x00, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x60, 0x80];
const INDEX_LOADS = [0x01, 0x61, 0x81, 0xb1];
const RETURNS = [0x06, 0x16];
const TRANSFERS = [0x07, 0x87];
const NEGATE = 0x84;
const DIVISIONS = [0x34, 0x94];
const JUMP_ALWAYS = 0x05;

/**
 * Reads the output of `tcpdump -ddd`: the number of instructions, then one line of four decimals per instruction.
 * Throws RipstopError EFILTER if the program is not safe to run.
 */
export function parseProgram(text: string): BpfProgram {
  const [count, ...lines] = text.trim().split('\n');
  const length = Number(count);
  if (!Number.isInteger(length) || length < 1 || length > INSTRUCTIONS_MAX || lines.length !== length)
    refuse(
      `"${count}" instructions are announced and ${lines.length} follow; the limit is ${INSTRUCTIONS_MAX}`,
    );
  const program = lines.map(parseInstruction);
  for (const [i, instruction] of program.entries()) {
    const fault = faultOf(instruction, length - i - 1);
    if (fault) refuse(`instruction ${i}: ${fault}`, hintFor(fault));
  }
  if (((program.at(-1)?.code ?? 0) & 7) !== RET) refuse('the last instruction is not a return');
  return program;
}

function parseInstruction(line: string, i: number): Instruction {
  const match = /^(\d{1,5}) (\d{1,3}) (\d{1,3}) (\d{1,10})$/.exec(line);
  if (!match) refuse(`instruction ${i} is "${line}"`);
  const [code, jumpTrue, jumpFalse, k] = match.slice(1).map(Number) as [number, number, number, number];
  if (code > 0xffff || jumpTrue > 0xff || jumpFalse > 0xff || k > 0xffffffff)
    refuse(`instruction ${i} is too wide`);
  return { code, jumpTrue, jumpFalse, k };
}

const OUTSIDE = 'it jumps backwards or out of the program';
const KERNEL_ONLY = 'it reads metadata of a kernel socket';

/** Why an instruction is unsafe; undefined if it is safe. @param following number of instructions after it */
function faultOf({ code, jumpTrue, jumpFalse, k }: Instruction, following: number): string | undefined {
  const unknown = `unknown code 0x${code.toString(16)}`;
  switch (code & 7) {
    case LD:
      if (!LOADS.includes(code)) return unknown;
      if (ABSOLUTE.includes(code) && k >= ANCILLARY) return KERNEL_ONLY;
      return code === 0x60 && k >= MEMORY_WORDS ? `memory slot ${k}` : undefined;
    case LDX:
      if (!INDEX_LOADS.includes(code)) return unknown;
      return code === 0x61 && k >= MEMORY_WORDS ? `memory slot ${k}` : undefined;
    case ST:
    case STX:
      if (code > STX) return unknown;
      return k >= MEMORY_WORDS ? `memory slot ${k}` : undefined;
    case ALU:
      if (code !== NEGATE && ((code & ~0x08) >>> 4 > 0xa || code > 0xac || (code & ~0x08) === NEGATE))
        return unknown;
      return DIVISIONS.includes(code) && k === 0 ? 'division by zero' : undefined;
    case JMP: {
      if (code === JUMP_ALWAYS) return k >= following ? OUTSIDE : undefined;
      if (code > 0x4d || (code & 0xf0) === 0) return unknown;
      return Math.max(jumpTrue, jumpFalse) >= following ? OUTSIDE : undefined;
    }
    case RET:
      return RETURNS.includes(code) ? undefined : unknown;
    case MISC:
      return TRANSFERS.includes(code) ? undefined : unknown;
  }
  return unknown;
}

function hintFor(fault: string): string | undefined {
  if (fault === KERNEL_ONLY) return 'use --point instead of inbound and outbound';
  return fault === OUTSIDE ? 'protochain compiles to a loop, which BPF does not allow' : undefined;
}

function refuse(problem: string, hint?: string): never {
  throw new RipstopError('EFILTER', `the compiled filter cannot be run: ${problem}`, hint);
}

/**
 * Runs a checked program over a packet.
 * @param bytes the captured bytes
 * @param wireLength original length of the packet, bytes
 * @returns bytes of the packet to keep; 0: it does not match
 */
export function runProgram(program: BpfProgram, bytes: Uint8Array, wireLength: number): number {
  const packet = viewOf(bytes);
  const memory = new DataView(new ArrayBuffer(MEMORY_WORDS * 4));
  let a = 0;
  let x = 0;
  for (let at = 0; ; at++) {
    const instruction = program[at];
    if (!instruction) throw new RangeError('bug: the filter ran out of its program');
    const { code: op, k } = instruction;
    switch (op & 7) {
      case LD: {
        if (op === 0x00) a = k;
        else if (op === 0x60) a = memory.getUint32(k * 4);
        else if (op === 0x80) a = wireLength;
        else {
          const from = (op & 0xe0) === 0x40 ? x + k : k;
          const size = 4 >> ((op >> 3) & 3);
          if (from + size > bytes.length) return 0;
          if (size === 4) a = packet.getUint32(from);
          else a = size === 2 ? packet.getUint16(from) : packet.getUint8(from);
        }
        break;
      }
      case LDX:
        if (op === 0x01) x = k;
        else if (op === 0x61) x = memory.getUint32(k * 4);
        else if (op === 0x81) x = wireLength;
        else if (k >= bytes.length) return 0;
        else x = (packet.getUint8(k) & 15) << 2;
        break;
      case ST:
        memory.setUint32(k * 4, a);
        break;
      case STX:
        memory.setUint32(k * 4, x);
        break;
      case ALU: {
        const operand = op & 0x08 ? x : k;
        const result = compute(op & 0xf0, a, operand);
        if (result < 0) return 0;
        a = result;
        break;
      }
      case JMP: {
        const operand = op & 0x08 ? x : k;
        if (op === JUMP_ALWAYS) at += k;
        else at += compare(op & 0xf0, a, operand) ? instruction.jumpTrue : instruction.jumpFalse;
        break;
      }
      case RET:
        return op === 0x16 ? a : k;
      default:
        if (op === 0x07) x = a;
        else a = x;
    }
  }
}

/** Unsigned 32-bit arithmetic; -1 for a division by zero. */
function compute(operation: number, a: number, operand: number): number {
  switch (operation) {
    case 0x00:
      return (a + operand) >>> 0;
    case 0x10:
      return (a - operand) >>> 0;
    case 0x20:
      return Math.imul(a, operand) >>> 0;
    case 0x30:
      return operand === 0 ? -1 : Math.floor(a / operand);
    case 0x40:
      return (a | operand) >>> 0;
    case 0x50:
      return (a & operand) >>> 0;
    case 0x60:
      return operand > 31 ? 0 : (a << operand) >>> 0;
    case 0x70:
      return operand > 31 ? 0 : a >>> operand;
    case 0x80:
      return -a >>> 0;
    case 0x90:
      return operand === 0 ? -1 : a % operand;
    default:
      return (a ^ operand) >>> 0;
  }
}

function compare(operation: number, a: number, operand: number): boolean {
  switch (operation) {
    case 0x10:
      return a === operand;
    case 0x20:
      return a > operand;
    case 0x30:
      return a >= operand;
    default:
      return (a & operand) !== 0;
  }
}

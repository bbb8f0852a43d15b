import { LITTLE_ENDIAN } from '../rtnetlink/attributes.ts';

/*
 * Assembler for BPF (RFC 9669): as much as the programs of this folder need. An instruction is struct bpf_insn of
 * linux/bpf.h: u8 code, u4 destination, u4 source, s16 offset, s32 immediate, in the byte order of the machine.
 */

const INSTRUCTION_BYTES = 8;

/** R0 has the result of a call and of the program, R1 to R5 have arguments, R6 to R9 survive calls, R10 is the stack. */
export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10;
/** Bytes of a load or store. */
type Width = 1 | 2 | 4 | 8;
/** Comparisons of a jump: equal, not equal, any bit of the mask set. */
type Comparison = 'equal' | 'unequal' | 'masked';

const WIDTH_CODES: Readonly<Record<Width, number>> = { 4: 0x00, 2: 0x08, 1: 0x10, 8: 0x18 };
const COMPARISON_CODES: Readonly<Record<Comparison, number>> = { equal: 0x15, unequal: 0x55, masked: 0x45 };
const LOAD = 0x61;
const STORE_IMMEDIATE = 0x62;
const ATOMIC_ADD = 0xdb;
const MOVE = 0xbf;
const MOVE_IMMEDIATE = 0xb7;
const ADD_IMMEDIATE = 0x07;
const AND_IMMEDIATE = 0x57;
const SHIFT_LEFT_IMMEDIATE = 0x67;
const SHIFT_RIGHT_IMMEDIATE = 0x77;
const MULTIPLY_IMMEDIATE = 0x27;
const ADD = 0x0f;
const LOAD_MAP = 0x18;
const PSEUDO_MAP_FD = 1;
const CALL = 0x85;
const JUMP = 0x05;
const EXIT = 0x95;

interface Instruction {
  readonly code: number;
  readonly destination?: number;
  readonly source?: number;
  readonly offset?: number;
  readonly immediate?: number;
  /** Jump target in place of the offset. */
  readonly label?: string;
}

/** Writes a program instruction by instruction; jumps lead forward to labels. */
export class BpfAssembler {
  readonly #instructions: Instruction[] = [];
  readonly #labels = new Map<string, number>();

  #add(instruction: Instruction): this {
    this.#instructions.push(instruction);
    return this;
  }

  move(destination: Register, source: Register): this {
    return this.#add({ code: MOVE, destination, source });
  }

  set(destination: Register, immediate: number): this {
    return this.#add({ code: MOVE_IMMEDIATE, destination, immediate });
  }

  add(destination: Register, immediate: number): this {
    return this.#add({ code: ADD_IMMEDIATE, destination, immediate });
  }

  and(destination: Register, immediate: number): this {
    return this.#add({ code: AND_IMMEDIATE, destination, immediate });
  }

  shiftLeft(destination: Register, bits: number): this {
    return this.#add({ code: SHIFT_LEFT_IMMEDIATE, destination, immediate: bits });
  }

  shiftRight(destination: Register, bits: number): this {
    return this.#add({ code: SHIFT_RIGHT_IMMEDIATE, destination, immediate: bits });
  }

  /** @param immediate int32, of which the sign is extended to 64 bits */
  multiply(destination: Register, immediate: number): this {
    return this.#add({ code: MULTIPLY_IMMEDIATE, destination, immediate });
  }

  addRegister(destination: Register, source: Register): this {
    return this.#add({ code: ADD, destination, source });
  }

  /** `destination` = the bytes at `source` + `offset`. */
  load(width: Width, destination: Register, source: Register, offset: number): this {
    return this.#add({ code: LOAD | WIDTH_CODES[width], destination, source, offset });
  }

  /** The bytes at `destination` + `offset` = the number. */
  store(width: Width, destination: Register, offset: number, immediate: number): this {
    return this.#add({ code: STORE_IMMEDIATE | WIDTH_CODES[width], destination, offset, immediate });
  }

  /** Adds `source` to the u64 at `destination` + `offset`, whatever other processors do meanwhile. */
  atomicAdd(destination: Register, offset: number, source: Register): this {
    return this.#add({ code: ATOMIC_ADD, destination, source, offset });
  }

  loadMap(destination: Register, fd: number): this {
    this.#add({ code: LOAD_MAP, destination, source: PSEUDO_MAP_FD, immediate: fd });
    return this.#add({ code: 0 });
  }

  /** Calls a function of the kernel by its number (enum bpf_func_id). */
  call(helper: number): this {
    return this.#add({ code: CALL, immediate: helper });
  }

  jumpIf(comparison: Comparison, register: Register, immediate: number, label: string): this {
    return this.#add({ code: COMPARISON_CODES[comparison], destination: register, immediate, label });
  }

  jump(label: string): this {
    return this.#add({ code: JUMP, label });
  }

  /** Names the next instruction. */
  label(name: string): this {
    this.#labels.set(name, this.#instructions.length);
    return this;
  }

  exit(result: number): this {
    return this.set(0, result).leave();
  }

  /** Ends the program with what is in R0. */
  leave(): this {
    return this.#add({ code: EXIT });
  }

  /** The program for `native.bpfProgram`. @throws Error for a jump to a label that is nowhere */
  finish(): Uint8Array {
    const bytes = new Uint8Array(this.#instructions.length * INSTRUCTION_BYTES);
    const view = new DataView(bytes.buffer);
    for (const [index, instruction] of this.#instructions.entries()) {
      const { code, destination = 0, source = 0, immediate = 0 } = instruction;
      const at = index * INSTRUCTION_BYTES;
      view.setUint8(at, code);
      view.setUint8(at + 1, LITTLE_ENDIAN ? destination | (source << 4) : (destination << 4) | source);
      view.setInt16(at + 2, this.#offsetOf(instruction, index), LITTLE_ENDIAN);
      view.setInt32(at + 4, immediate, LITTLE_ENDIAN);
    }
    return bytes;
  }

  #offsetOf({ label, offset = 0 }: Instruction, index: number): number {
    if (label === undefined) return offset;
    const target = this.#labels.get(label);
    if (target === undefined) throw new Error(`BPF program: no label ${label}`);
    return target - index - 1;
  }
}

/** A number of 16 bits as a load of this machine sees it when it is in network byte order. */
export function onWire16(value: number): number {
  return LITTLE_ENDIAN ? ((value & 0xff) << 8) | (value >> 8) : value;
}

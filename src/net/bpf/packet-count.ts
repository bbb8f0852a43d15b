import { type Address, bytesOf } from '../../ip/address.ts';
import { native } from '../../native/load.ts';
import { BpfAssembler, onWire16, type Register } from './assembler.ts';

/*
 * Programs for a classifier that count packets and let every one pass: the count of what enters the data plane that does
 * not come from the data plane.
 */

/** Offsets in struct __sk_buff (linux/bpf.h). */
const SKB_PROTOCOL = 16;
const SKB_GSO_SEGS = 164;
/** enum bpf_prog_type. */
const SCHED_CLS = 3;
/** enum bpf_func_id. */
const MAP_LOOKUP_ELEM = 1;
const SKB_LOAD_BYTES_RELATIVE = 68;
/** BPF_HDR_START_NET: offsets count from the network header, whatever link header there is. */
const FROM_NETWORK_HEADER = 1;
/** TC_ACT_UNSPEC: the next filter decides, as if this one were not there. */
const NEXT_FILTER = -1;
const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;
const UDP = 17;
/** The map: u64 packets, u64 segments. */
const VALUE_BYTES = 16;
const READ_BYTES = 4096;
/** Room on the stack for the header that is compared. */
const HEADER_AT = -48;
const KEY_AT = -4;

/** Packets as the kernel handles them, and as the wire carries them: a GSO packet is one of the first. */
interface PacketCount {
  readonly packets: number;
  readonly segments: number;
}

/** Datagrams of a tunnel: UDP to this address and port. */
export interface TunnelEnd {
  readonly address: Address;
  readonly port: number;
}

/** A program that counts, with the map that it counts in. */
export class PacketCounter {
  /** Descriptor of the program, for a classifier. */
  readonly program: number;
  readonly #map: number;

  /**
   * Counts every packet, or the datagrams that go to `end`.
   * @throws SystemError EPERM without CAP_BPF; ENOSYS where the kernel has no BPF
   */
  constructor(end?: TunnelEnd) {
    this.#map = native.bpfMap(VALUE_BYTES);
    try {
      this.program = native.bpfProgram(counting(this.#map, end), SCHED_CLS);
    } catch (error) {
      native.closeFd(this.#map);
      throw error;
    }
  }

  read(): PacketCount {
    const value = new Uint8Array(READ_BYTES);
    const status = native.bpfMapRead(this.#map, value);
    if (status < 0) throw new Error(`cannot read the count of packets: errno ${-status}`);
    const numbers = new BigUint64Array(value.buffer, 0, 2);
    return { packets: Number(numbers[0]), segments: Number(numbers[1]) };
  }

  close(): void {
    native.closeFd(this.program);
    native.closeFd(this.#map);
  }
}

function counting(map: number, end: TunnelEnd | undefined): Uint8Array {
  const program = new BpfAssembler().move(6, 1);
  if (end) matchTunnel(program, end);
  return program
    .store(4, 10, KEY_AT, 0)
    .loadMap(1, map)
    .move(2, 10)
    .add(2, KEY_AT)
    .call(MAP_LOOKUP_ELEM)
    .jumpIf('equal', 0, 0, 'pass')
    .set(1, 1)
    .atomicAdd(0, 0, 1)
    .load(4, 1, 6, SKB_GSO_SEGS)
    .jumpIf('unequal', 1, 0, 'segments')
    .set(1, 1)
    .label('segments')
    .atomicAdd(0, 8, 1)
    .label('pass')
    .exit(NEXT_FILTER)
    .finish();
}

/** Jumps to `pass` unless the packet is UDP to `end`; of fragments the first one matches. */
function matchTunnel(program: BpfAssembler, { address, port }: TunnelEnd): void {
  const is4 = address.family === 4;
  const fixed = is4 ? 20 : 40;
  program.load(4, 1, 6, SKB_PROTOCOL).jumpIf('unequal', 1, onWire16(is4 ? ETH_P_IP : ETH_P_IPV6), 'pass');
  loadHeader(program, 0, fixed);
  program.load(1, 1, 10, HEADER_AT + (is4 ? 9 : 6)).jumpIf('unequal', 1, UDP, 'pass');
  if (is4) program.load(2, 1, 10, HEADER_AT + 6).jumpIf('masked', 1, onWire16(0x1fff), 'pass');
  const bytes = bytesOf(address);
  const destination = HEADER_AT + (is4 ? 16 : 24);
  for (let at = 0; at < bytes.length; at += 2) {
    const half = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    program.load(2, 1, 10, destination + at).jumpIf('unequal', 1, onWire16(half), 'pass');
  }
  if (is4) program.load(1, 7, 10, HEADER_AT).and(7, 0xf).shiftLeft(7, 2);
  else program.set(7, fixed);
  loadHeader(program, 7, 4);
  program.load(2, 1, 10, HEADER_AT + 2).jumpIf('unequal', 1, onWire16(port), 'pass');
}

/** Copies `length` bytes of the packet to the stack. @param from bytes after the network header, or the register that has them */
function loadHeader(program: BpfAssembler, from: 0 | Extract<Register, 7>, length: number): void {
  program.move(1, 6);
  if (from === 0) program.set(2, 0);
  else program.move(2, from);
  program
    .move(3, 10)
    .add(3, HEADER_AT)
    .set(4, length)
    .set(5, FROM_NETWORK_HEADER)
    .call(SKB_LOAD_BYTES_RELATIVE)
    .jumpIf('unequal', 0, 0, 'pass');
}

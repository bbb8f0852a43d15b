import { TYPE_SERVICE_VLAN, TYPE_VLAN } from '../../../encap/wire/ethernet.ts';
import {
  MIN_BYTES as IPV4_BYTES,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../../encap/wire/ipv4.ts';
import { BYTES as IPV6_BYTES } from '../../../encap/wire/ipv6.ts';
import { native } from '../../native/load.ts';
import { BpfAssembler, onWire16 } from './assembler.ts';

/*
 * A program that chooses the queue of a TUN or TAP by the flow of a frame: addresses, protocol and ports. Fragments and unknown
 * protocols go by addresses and protocol, as for the source port (`flowHash`), so that all parts of a packet keep one order.
 */

/** enum bpf_prog_type. */
const SOCKET_FILTER = 1;
/** enum bpf_func_id. It reads what is in the fragments of a packet as well. */
const SKB_LOAD_BYTES = 26;
/** Room on the stack for the header that is read. */
const HEADER_AT = -IPV6_BYTES;
/** More fragments, or an offset, in bytes 6 and 7 of an IPv4 header. */
const FRAGMENT = 0x3fff;
/** An odd number that scatters: 2^32 divided by the golden ratio. */
const FACTOR = 0x9e3779b1 | 0;
const MOST_TAGS = 2;

/**
 * Loads the program.
 * @returns its descriptor, for `native.tunSetSteering`
 * @throws SystemError EPERM without CAP_BPF; ENOSYS or EINVAL where the kernel has no BPF
 */
export function loadFlowSteering(kind: 'tap' | 'tun'): number {
  return native.bpfProgram(flowSteering(kind), SOCKET_FILTER);
}

/** R6 is the packet, R7 the offset of the header that is read next, R8 the hash. */
export function flowSteering(kind: 'tap' | 'tun'): Uint8Array {
  const program = new BpfAssembler().move(6, 1).set(7, 0);
  if (kind === 'tap') skipEthernet(program);
  loadHeader(program, IPV4_BYTES, 'unknown');
  program
    .load(1, 1, 10, HEADER_AT)
    .and(1, 0xf0)
    .jumpIf('equal', 1, 0x40, 'ipv4')
    .jumpIf('equal', 1, 0x60, 'ipv6')
    .label('unknown')
    .exit(0);

  program.label('ipv4').load(1, 8, 10, HEADER_AT + 9);
  for (const at of [12, 16]) mix(program, at);
  program
    .load(2, 1, 10, HEADER_AT + 6)
    .jumpIf('masked', 1, onWire16(FRAGMENT), 'done')
    .load(1, 1, 10, HEADER_AT)
    .and(1, 0xf)
    .shiftLeft(1, 2)
    .addRegister(7, 1)
    .load(1, 1, 10, HEADER_AT + 9)
    .jump('protocol')
    .label('ipv6');
  loadHeader(program, IPV6_BYTES, 'unknown');
  program.load(1, 8, 10, HEADER_AT + 6);
  for (let at = 8; at < IPV6_BYTES; at += 4) mix(program, at);
  program
    .add(7, IPV6_BYTES)
    .load(1, 1, 10, HEADER_AT + 6)
    .label('protocol')
    .jumpIf('equal', 1, PROTOCOL_TCP, 'ports')
    .jumpIf('equal', 1, PROTOCOL_UDP, 'ports')
    .jumpIf('equal', 1, PROTOCOL_SCTP, 'ports')
    .jump('done')
    .label('ports');
  loadHeader(program, 4, 'done');
  mix(program, 0);
  // The kernel takes 16 bits of the result (tun_ebpf_select_queue, drivers/net/tun.c); the upper ones depend on all that was mixed.
  return program.label('done').multiply(8, FACTOR).move(0, 8).shiftRight(0, 48).leave().finish();
}

/** Leaves the offset of the IP header in R7. */
function skipEthernet(program: BpfAssembler): void {
  program.set(7, 12);
  for (let tag = 0; tag <= MOST_TAGS; tag++) {
    loadHeader(program, 2, 'unknown');
    program.load(2, 1, 10, HEADER_AT).add(7, 2);
    if (tag === MOST_TAGS) break;
    const tagged = `tag ${tag}`;
    program
      .jumpIf('equal', 1, onWire16(TYPE_VLAN), tagged)
      .jumpIf('unequal', 1, onWire16(TYPE_SERVICE_VLAN), 'ip')
      .label(tagged)
      .add(7, 2);
  }
  program.label('ip');
}

/** Copies `length` bytes at R7 to the stack; jumps where the packet has fewer. */
function loadHeader(program: BpfAssembler, length: number, otherwise: string): void {
  program
    .move(1, 6)
    .move(2, 7)
    .move(3, 10)
    .add(3, HEADER_AT)
    .set(4, length)
    .call(SKB_LOAD_BYTES)
    .jumpIf('unequal', 0, 0, otherwise);
}

/** Mixes four bytes of the header on the stack into R8. */
function mix(program: BpfAssembler, at: number): void {
  program
    .multiply(8, FACTOR)
    .load(4, 1, 10, HEADER_AT + at)
    .addRegister(8, 1);
}

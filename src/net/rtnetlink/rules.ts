import { addressBytes, type Family } from '../../ip/address.ts';
import { addressText, familyNumber, familyNumberOf, familyOf, prefixText } from '../address-bytes.ts';
import { headerU8, headerU32, readAttributes, readText, readU32 } from './attributes.ts';
import { type Message, MessageWriter, NLM_F_CREATE, NLM_F_EXCL } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

/* Rules of policy routing: which table a packet is looked up in (linux/fib_rules.h). */

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
/** struct fib_rule_hdr: u8 family, destination and source length, tos, table, two reserved, action, u32 flags. */
const RULE_HEADER = 12;
const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_FLOW = 11;
const FRA_SUPPRESS_IFGROUP = 13;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_PAD = 18;
const FRA_PROTOCOL = 21;
const FR_ACT_TO_TBL = 1;
const FIB_RULE_INVERT = 0x2;
/** A rule without one. */
const NO_SUPPRESSION = 0xffffffff;
/** Attributes that are no condition, or that `Rule` has. */
const KNOWN = new Set([
  ...[FRA_DST, FRA_SRC, FRA_IIFNAME, FRA_PRIORITY, FRA_FWMARK, FRA_SUPPRESS_IFGROUP],
  ...[FRA_FLOW, FRA_SUPPRESS_PREFIXLEN, FRA_TABLE, FRA_FWMASK, FRA_PAD, FRA_PROTOCOL],
]);
/** Fits the 8 bits of the header; larger table numbers are in FRA_TABLE alone. */
const RT_TABLE_COMPAT = 252;

/** A rule as the kernel reports it. */
export interface Rule {
  readonly family: Family;
  /** Source address without prefix length; undefined for a rule of any source, or of a prefix. */
  readonly source: string | undefined;
  readonly table: number;
  readonly priority: number;
  /** FR_ACT_*: 1 looks up the table, 6 blackhole, 7 unreachable, 8 prohibit. */
  readonly action: number;
  /** Networks of source and destination; undefined: any. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** Interface that the packet came in by; `lo` for packets of this node. */
  readonly input: string | undefined;
  /** The mark of the packet under the mask has this value. */
  readonly mark: number;
  readonly mask: number;
  /** The rule is for packets that do not fulfil the conditions. */
  readonly inverted: boolean;
  /** Routes of this prefix length or a shorter one are passed over; undefined: none. */
  readonly suppressed: number | undefined;
  /** It has conditions that are not read: a range of users or ports, a TOS. */
  readonly hasMore: boolean;
}

/** A rule for packets of one address. */
interface SourceRule {
  source: string;
  table: number;
  /** Absent: the kernel chooses one before all others (add), or any (delete). */
  priority?: number;
}

function readRule({ payload }: Message): Rule {
  const family = familyOf(headerU8(payload, 0));
  const all = readAttributes(payload, RULE_HEADER);
  const [destination, source] = [all.get(FRA_DST), all.get(FRA_SRC)];
  const isHost = source !== undefined && headerU8(payload, 2) === source.length * 8;
  const suppressed = readU32(all, FRA_SUPPRESS_PREFIXLEN) ?? NO_SUPPRESSION;
  const group = readU32(all, FRA_SUPPRESS_IFGROUP) ?? NO_SUPPRESSION;
  return {
    family,
    source: isHost ? addressText(source) : undefined,
    table: readU32(all, FRA_TABLE) ?? headerU8(payload, 4),
    priority: readU32(all, FRA_PRIORITY) ?? 0,
    action: headerU8(payload, 7),
    from: source && prefixText(source, headerU8(payload, 2)),
    to: destination && prefixText(destination, headerU8(payload, 1)),
    input: readText(all, FRA_IIFNAME),
    mark: readU32(all, FRA_FWMARK) ?? 0,
    mask: readU32(all, FRA_FWMASK) ?? 0,
    inverted: (headerU32(payload, 8) & FIB_RULE_INVERT) !== 0,
    suppressed: suppressed === NO_SUPPRESSION ? undefined : suppressed,
    hasMore:
      headerU8(payload, 3) !== 0 || group !== NO_SUPPRESSION || [...all.keys()].some(key => !KNOWN.has(key)),
  };
}

function ruleMessage(writer: MessageWriter, { source, table, priority }: SourceRule): MessageWriter {
  const bytes = addressBytes(source);
  writer
    .u8(familyNumberOf(bytes))
    .u8(0)
    .u8(bytes.length * 8)
    .u8(0);
  writer
    .u8(table < 256 ? table : RT_TABLE_COMPAT)
    .u8(0)
    .u8(0)
    .u8(FR_ACT_TO_TBL)
    .u32(0);
  writer.attribute(FRA_SRC, bytes).attributeU32(FRA_TABLE, table);
  if (priority !== undefined) writer.attributeU32(FRA_PRIORITY, priority);
  return writer;
}

const inWords = ({ source, table }: SourceRule) => `rule from ${source} lookup ${table}`;

/** The rules of both families. */
export function listRules(socket: NetlinkSocket): Rule[] {
  return ([4, 6] as const).flatMap(family => {
    const writer = new MessageWriter(RTM_GETRULE, 0, 'list routing rules').u8(familyNumber(family));
    return socket.list(writer.bytes(new Uint8Array(RULE_HEADER - 1)), RTM_NEWRULE, readRule);
  });
}

/** Sends packets from one address to a table. @throws NetError EEXIST when the same rule is there */
export function addRule(socket: NetlinkSocket, rule: SourceRule): void {
  const writer = new MessageWriter(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, `add ${inWords(rule)}`);
  socket.request(ruleMessage(writer, rule));
}

/** Removes a rule; true when it was there. @throws NetError on anything but its absence */
export function deleteRule(socket: NetlinkSocket, rule: SourceRule): boolean {
  const writer = new MessageWriter(RTM_DELRULE, 0, `delete ${inWords(rule)}`, ['ENOENT', 'ESRCH']);
  return socket.request(ruleMessage(writer, rule));
}

import { AF_INET, AF_INET6, type Family, formatPrefix, networkOf, parsePrefix } from '../address-text.ts';
import { unless } from '../error.ts';
import { headerU8, readAttributes, readText, readU32 } from './attributes.ts';
import { type Message, MessageWriter, NLM_F_CREATE, NLM_F_EXCL } from './message.ts';
import { TABLE_MAIN } from './routes.ts';
import type { NetlinkSocket } from './socket.ts';

/* Routing policy: which table a packet is looked up in (linux/fib_rules.h). */

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
/** struct fib_rule_hdr: family, destination and source length, tos, table, two reserved, action, u32 flags. */
const RULE_HEADER = 12;
const FR_ACT_TO_TBL = 1;
const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;

export interface RuleSpec {
  family: Family;
  /** Small numbers are asked first; the kernel chooses when absent. */
  priority?: number;
  table?: number;
  source?: string;
  destination?: string;
  /** Name of the device that a packet comes in or goes out by. */
  input?: string;
  output?: string;
  mark?: number;
  markMask?: number;
}
export type Rule = Readonly<RuleSpec> & { readonly priority: number; readonly table: number };

function readRule(message: Message): Rule {
  const { payload } = message;
  const all = readAttributes(payload, RULE_HEADER);
  const source = all.get(FRA_SRC);
  const destination = all.get(FRA_DST);
  const input = readText(all, FRA_IIFNAME);
  const output = readText(all, FRA_OIFNAME);
  const mark = readU32(all, FRA_FWMARK);
  const markMask = readU32(all, FRA_FWMASK);
  return {
    family: headerU8(payload, 0) === AF_INET6 ? 6 : 4,
    priority: readU32(all, FRA_PRIORITY) ?? 0,
    table: readU32(all, FRA_TABLE) ?? headerU8(payload, 4),
    ...(source && { source: formatPrefix(source, headerU8(payload, 2)) }),
    ...(destination && { destination: formatPrefix(destination, headerU8(payload, 1)) }),
    ...(input && { input }),
    ...(output && { output }),
    ...(mark !== undefined && { mark }),
    ...(markMask !== undefined && { markMask }),
  };
}

/** Rules of one family that lead to a table, in the order in which they are asked. */
export function listRules(socket: NetlinkSocket, family: Family): Rule[] {
  const writer = new MessageWriter(RTM_GETRULE, 0, 'list rules')
    .u8(family === 6 ? AF_INET6 : AF_INET)
    .bytes(new Uint8Array(RULE_HEADER - 1));
  return socket
    .dump(writer)
    .filter(message => message.type === RTM_NEWRULE && headerU8(message.payload, 7) === FR_ACT_TO_TBL)
    .map(readRule);
}

function ruleMessage(type: number, flags: number, verb: string, spec: RuleSpec): MessageWriter {
  const source = spec.source === undefined ? undefined : networkOf(parsePrefix(spec.source));
  const destination = spec.destination === undefined ? undefined : networkOf(parsePrefix(spec.destination));
  const table = spec.table ?? TABLE_MAIN;
  const what = `${verb} rule ${spec.priority ?? ''} for table ${table}`;
  const writer = new MessageWriter(type, flags, what)
    .u8(spec.family === 6 ? AF_INET6 : AF_INET)
    .u8(destination?.length ?? 0)
    .u8(source?.length ?? 0)
    .u8(0)
    .u8(table < 256 ? table : 0)
    .u8(0)
    .u8(0)
    .u8(FR_ACT_TO_TBL)
    .u32(0)
    .attributeU32(FRA_TABLE, table);
  if (spec.priority !== undefined) writer.attributeU32(FRA_PRIORITY, spec.priority);
  if (source) writer.attribute(FRA_SRC, source.address);
  if (destination) writer.attribute(FRA_DST, destination.address);
  if (spec.input !== undefined) writer.attributeText(FRA_IIFNAME, spec.input);
  if (spec.output !== undefined) writer.attributeText(FRA_OIFNAME, spec.output);
  if (spec.mark !== undefined) writer.attributeU32(FRA_FWMARK, spec.mark);
  if (spec.markMask !== undefined) writer.attributeU32(FRA_FWMASK, spec.markMask);
  return writer;
}

/** Adds a rule. @throws NetError EEXIST when the same one is there */
export function addRule(socket: NetlinkSocket, spec: RuleSpec): void {
  socket.request(ruleMessage(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, 'add', spec));
}

/** Removes the rule that matches all that `spec` names; true when it was there. @throws NetError otherwise */
export function deleteRule(socket: NetlinkSocket, spec: RuleSpec): boolean {
  return unless(['ENOENT', 'ESRCH'], () => socket.request(ruleMessage(RTM_DELRULE, 0, 'delete', spec)));
}

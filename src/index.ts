/*
 * What `import 'ripstop'` gives: capture files, filters, verdicts and their explanations. No logic, and nothing here
 * loads the addon, so that it also runs where Ripstop forwards no packets. The headers are in `ripstop/encap`.
 */
export { type ErrorCode, type FaultCode, RipstopError } from './base/errors.ts';
export { type BpfProgram, parseProgram, runProgram } from './capture/filter/bpf.ts';
export { compileFilter } from './capture/filter/filter-compiler.ts';
export { ByteQueue } from './capture/format/byte-queue.ts';
export { openCapture, readCapture } from './capture/format/open.ts';
export {
  type CaptureFormat,
  type CaptureInterface,
  type Direction,
  type InterfaceStatistics,
  LINK_ETHERNET,
  LINK_RAW,
  type Packet,
} from './capture/format/packet.ts';
export { PcapFormat } from './capture/format/pcap/writer.ts';
export { PcapngFormat, type SectionInfo } from './capture/format/pcapng/writer.ts';
export type { CaptureReader } from './capture/format/reader.ts';
export { VERDICTS, type Verdict } from './dataplane/descriptor/verdicts.ts';
export { EXPLANATIONS, type Explanation, explain } from './diagnose/explain/explanation.ts';
export type { ExplanationText } from './diagnose/explain/text.ts';

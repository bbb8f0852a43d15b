import { type MessageWriter, netfilterRequest } from '../rtnetlink/message.ts';
import { askNft, FAMILIES, type NftTableFamily, SUBSYSTEM } from './query.ts';

/* Whether a table or chain of nftables exists. */

const GETTABLE = SUBSYSTEM | 1;
const GETCHAIN = SUBSYSTEM | 4;
const NFTA_TABLE_NAME = 1;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;

const exists = (netns: string, writer: MessageWriter) =>
  askNft(netns, socket => socket.get(writer)) !== undefined;

/** @throws NetError when the namespace cannot be entered, or the kernel does not answer */
export function hasNftTable(netns: string, family: NftTableFamily, table: string): boolean {
  const writer = netfilterRequest(GETTABLE, FAMILIES[family], `look for nftables table ${family} ${table}`);
  return exists(netns, writer.attributeText(NFTA_TABLE_NAME, table));
}

/** @throws NetError when the namespace cannot be entered, or the kernel does not answer */
export function hasNftChain(netns: string, family: NftTableFamily, table: string, chain: string): boolean {
  const writer = netfilterRequest(
    GETCHAIN,
    FAMILIES[family],
    `look for nftables chain ${family} ${table} ${chain}`,
  );
  return exists(netns, writer.attributeText(NFTA_CHAIN_TABLE, table).attributeText(NFTA_CHAIN_NAME, chain));
}

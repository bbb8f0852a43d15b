/** A measured quantity: how it is shown, and which way is better. */
export interface Figure {
  readonly title: string;
  readonly unit: 'packets/s' | 'bit/s' | 'us' | 'packets' | '%' | 'ratio';
  readonly better: 'more' | 'less';
}

const time = (title: string): Figure => ({ title, unit: 'us', better: 'less' });

/** Everything that `ripstop bench` measures, in the order in which it is shown. */
export const FIGURES = {
  throughput: { title: 'throughput', unit: 'packets/s', better: 'more' },
  throughputBits: { title: 'throughput, IP packets', unit: 'bit/s', better: 'more' },
  rtt10p50: time('round trip at 10 %, p50'),
  rtt10p99: time('round trip at 10 %, p99'),
  rtt50p50: time('round trip at 50 %, p50'),
  rtt50p99: time('round trip at 50 %, p99'),
  rtt90p50: time('round trip at 90 %, p50'),
  rtt90p99: time('round trip at 90 %, p99'),
  burst: { title: 'longest burst without loss', unit: 'packets', better: 'more' },
  rttIdle: time('round trip, idle, p50'),
  tcp: { title: 'TCP, one connection', unit: 'bit/s', better: 'more' },
  tcpLimit: { title: 'TCP that the path allows', unit: 'bit/s', better: 'more' },
  tcpShare: { title: 'TCP, share of what the path allows', unit: '%', better: 'more' },
  tcpEfficiency: { title: 'TCP segments that were not sent again', unit: '%', better: 'more' },
  rttLoaded50: time('round trip while TCP fills the path, p50'),
  rttLoaded99: time('round trip while TCP fills the path, p99'),
  bufferDelay: { title: 'buffer delay (RFC 6349)', unit: '%', better: 'less' },
} as const satisfies Record<string, Figure>;

export type FigureId = keyof typeof FIGURES;
export const FIGURE_IDS = Object.keys(FIGURES) as FigureId[];

import t from 'tap';
import { backpressureState } from '../../../../src/dataplane/io/offloads.ts';

/* IFF_BACKPRESSURE is newer than the kernels that the tests run on: what a kernel that has it answers is told here. */

const IFF_BACKPRESSURE = 0x80;
/** TUNGETFEATURES of Linux 6.18, and TUNGETIFF of a TAP with a virtio-net header. */
const FEATURES = 0x7173;
const TAP = 0x5002;

t.test(
  'the state of backpressure: what was asked for, what the kernel has, and what the device got',
  async t => {
    t.equal(backpressureState(false, FEATURES | IFF_BACKPRESSURE, TAP), 'off by configuration');
    t.equal(backpressureState(true, FEATURES, TAP), 'not supported by this kernel');
    t.equal(
      backpressureState(true, -1, TAP),
      'not supported by this kernel',
      'the kernel was not asked: EPERM',
    );
    t.equal(backpressureState(true, FEATURES | IFF_BACKPRESSURE, TAP | IFF_BACKPRESSURE), 'on');
    t.equal(backpressureState(true, FEATURES | IFF_BACKPRESSURE, TAP), 'refused by the kernel at run time');
    t.equal(backpressureState(true, FEATURES | IFF_BACKPRESSURE, -77), 'refused by the kernel at run time');
  },
);

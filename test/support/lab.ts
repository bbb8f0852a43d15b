import { Namespace, removeStale } from '../../bench/lab/namespace.ts';
import { buildLab, type Lab, type LabOptions } from '../../bench/lab/topology.ts';

/*
 * Labs and namespaces that end with their test, whatever its outcome. What they are built of is bench/lab:
 * Namespace (must, attempt, launch, ip, sysctl), Proc (saying, success, stop), until, transfer.
 */

/** The part of a tap test that is needed here. */
interface Owner {
  teardown(undo: () => void): void;
}

/** Nodes with pods behind them, removed with the test. */
export function labFor(t: Owner, options?: LabOptions): Lab {
  removeStale();
  const lab = buildLab(options);
  t.teardown(() => lab.remove());
  return lab;
}

/** An empty namespace with its loopback up, removed with the test. */
export function namespaceFor(t: Owner): Namespace {
  const ns = Namespace.create();
  t.teardown(() => ns.remove());
  return ns;
}

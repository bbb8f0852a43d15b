import { deployRoutes } from '../../src/lab/deploy/routes.ts';
import type { Contender } from './contender.ts';

/** No overlay: what every tunnel is measured against. */
export const noOverlay: Contender = {
  label: 'no overlay',
  unavailable: () => undefined,
  deploy: async (lab, request) => deployRoutes(lab, request),
};

// The condition of a space, and whether its count can be trusted.

import { DAY } from './time';

/** A space without crossings for this long has no recent data. */
const SILENCE = DAY;

interface Known {
  count: number;
  capacity?: number | null;
  lastEvent?: { ts: string } | null;
  dpus: unknown[];
}

/**
 * - `unreachable`: the server does not answer, so the current count is unknown
 * - `unwatched`: no DPU counts for the space
 * - `silent`: its DPUs have not reported a crossing lately
 * - `adrift`: more people have left than entered, as far as was counted
 * - `empty`: no people are there
 * - `full`: as many people are there as its capacity, or more
 */
export type Condition = 'unreachable' | 'unwatched' | 'silent' | 'adrift' | 'empty' | 'full' | 'occupied';

export function condition({ count, capacity, lastEvent, dpus }: Known, reachable: boolean, now: number): Condition {
  if (!reachable) return 'unreachable';
  if (dpus.length === 0) return 'unwatched';
  if (!lastEvent || now - Date.parse(lastEvent.ts) > SILENCE) return 'silent';
  if (count < 0) return 'adrift';
  if (count === 0) return 'empty';
  return capacity && count >= capacity ? 'full' : 'occupied';
}

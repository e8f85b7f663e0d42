// What a count is worth.

import { DAY } from './time';

/** A space from whose doorways nothing was heard for this long has no data lately. */
const SILENCE = DAY;

interface Known {
  count: number;
  capacity?: number | null;
  lastEvent?: { ts: string } | null;
  dpus: unknown[];
}

/**
 * - `unreachable`: the server does not answer, so nobody knows
 * - `unwatched`: no DPU counts for the space
 * - `silent`: its DPUs have reported nothing lately
 * - `adrift`: more people have left than were seen to enter
 * - `empty`: nobody is there
 * - `full`: as many are there as it is meant to hold
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

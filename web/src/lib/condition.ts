// The condition of a space, and whether its count can be trusted.

import type { DpuReports } from '../../generated/operations';
import { DAY } from './time';

/** A space is quiet if nothing was reported for this long, and it is not known how often something should be. */
const SILENCE = DAY;

interface Reported {
  lastEvent?: { ts: string } | null;
  dpus: { reports: DpuReports; expectedEvery?: number | null; health: { lastHeard?: string | null } }[];
}

interface Known extends Reported {
  count: number;
  capacity?: number | null;
  stale: boolean;
}

/**
 * - `unreachable`: the server does not answer, so the current count is unknown
 * - `unwatched`: no DPU counts for the space
 * - `silent`: one of its DPUs has not reported as often as it should
 * - `quiet`: nothing was reported lately, but nobody knows how often its DPUs report, so that this may be no fault
 * - `adrift`: more people have left than entered, as far as was counted
 * - `empty`: no people are there
 * - `full`: as many people are there as its capacity, or more
 */
export type Condition = 'unreachable' | 'unwatched' | 'silent' | 'quiet' | 'adrift' | 'empty' | 'full' | 'occupied';

export function condition(space: Known, reachable: boolean, now: number): Condition {
  const { count, capacity, dpus, stale } = space;
  if (!reachable) return 'unreachable';
  if (dpus.length === 0) return 'unwatched';
  if (stale) return 'silent';
  if (dpus.every(({ expectedEvery }) => !expectedEvery) && now - (lastSign(space)?.at ?? 0) > SILENCE) return 'quiet';
  if (count < 0) return 'adrift';
  if (count === 0) return 'empty';
  return capacity && count >= capacity ? 'full' : 'occupied';
}

/** Returns the last crossing, or when a DPU that reports no single crossings was last heard of, whichever is later. */
export function lastSign({ lastEvent, dpus }: Reported): { what: 'last crossing' | 'last heard'; at: number } | undefined {
  const heard = dpus.filter(({ reports }) => reports !== 'CROSSINGS').map(({ health }) => Date.parse(health.lastHeard ?? ''));
  const report = Math.max(...heard.filter((at) => !Number.isNaN(at)));
  const crossing = lastEvent ? Date.parse(lastEvent.ts) : -Infinity;
  const at = Math.max(crossing, report);
  return at > -Infinity ? { what: at === crossing ? 'last crossing' : 'last heard', at } : undefined;
}

// The times of a history of which reports are missing.

import { SECOND } from './time';

/**
 * - `none`: no interval or reading covers the time
 * - `part`: some do, or those of some DPUs
 * - `gap`: a counter was restarted, or counting began again with new totals, so that people were lost
 */
export type Missing = 'none' | 'part' | 'gap';

export interface Shade {
  start: number;
  end: number;
  missing: Missing;
}

interface Bucket {
  start: string;
  end: string;
  coverage?: number | null;
}

/**
 * Returns the buckets that are not covered, in order; neighbours of one kind are joined. What is missing in
 * `gaps` is left to them. Reports of the last `due` milliseconds may still come, and are not missing.
 */
export function uncovered(buckets: Bucket[], gaps: Shade[], now: number, due: number): Shade[] {
  const shades: Shade[] = [];
  for (const bucket of buckets) {
    const [start, end] = [Date.parse(bucket.start), Math.min(Date.parse(bucket.end), now)];
    const lost = gaps.reduce((sum, gap) => sum + Math.max(0, Math.min(end, gap.end) - Math.max(start, gap.start)), 0);
    const lacking = (1 - (bucket.coverage ?? 1)) * (end - start);
    if (lacking < SECOND + lost || (end > now - due && lacking <= due)) continue;
    const missing = bucket.coverage === 0 ? 'none' : 'part';
    const last = shades.at(-1);
    if (last?.end === start && last.missing === missing) last.end = end;
    else shades.push({ start, end, missing });
  }
  return shades;
}

interface Gaps {
  dpu: { intervals: { nodes: { start: string; end: string; isGap: boolean }[] } };
}

/** Returns the intervals in which people were lost. */
export const gaps = (assignments: Gaps[]): Shade[] =>
  assignments.flatMap(({ dpu }) =>
    dpu.intervals.nodes
      .filter(({ isGap }) => isGap)
      .map(({ start, end }) => ({ start: Date.parse(start), end: Date.parse(end), missing: 'gap' as const })),
  );

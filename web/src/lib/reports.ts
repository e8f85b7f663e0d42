// What DPUs report, and why a count can be a range.

import type { DpuReports, IntervalSource } from '../../generated/operations';
import { DAY, format, full } from './time';

/** What a DPU reports, in words that follow "reports". */
export const kinds: Record<DpuReports, string> = {
  CROSSINGS: 'single crossings',
  INTERVALS: 'intervals',
  TOTALS: 'running totals',
};

/** A DPU with the first interval that counts at an instant or later. */
export interface Reporting {
  serial: string;
  reports: DpuReports;
  intervals: { nodes: { start: string; end: string; source: IntervalSource; isGap: boolean }[] };
}

/** Returns the interval of a DPU that an instant lies in. */
export const intervalAt = ({ intervals }: Reporting, at: number) => intervals.nodes.find(({ start }) => Date.parse(start) <= at);

/** Says why the count at an instant is not exact. */
export function reason(dpus: Reporting[], at: number, zone: string): string {
  const open = dpus.flatMap((dpu) => {
    const { end, source } = intervalAt(dpu, at) ?? {};
    // At its last millisecond, all people of an interval have crossed.
    return end && Date.parse(end) - 1 > at ? [{ ...dpu, end: Date.parse(end), source }] : [];
  });
  if (open.length === 0) return 'counting started within an interval';
  const end = Math.min(...open.map(({ end }) => end));
  const time = end - at < DAY ? format(end, zone, { timeStyle: 'medium' }) : full(end, zone);
  if (open.every(({ source }) => source === 'PRUNED')) return `old reports are kept by the hour, and this one ends at ${time}`;
  const serials = [...new Set(open.map(({ serial }) => serial))];
  const who = serials.length === 1 ? `DPU ${serials[0]} reports` : serials.length === 2 ? `DPUs ${serials.join(' and ')} report` : `${serials.length} DPUs report`;
  const totals = open.filter(({ reports }) => reports === 'TOTALS').length;
  if (totals === open.length) return `${who} ${kinds.TOTALS}, the next reading is at ${time}`;
  return `${who} ${totals ? `${kinds.INTERVALS} or ${kinds.TOTALS}` : kinds.INTERVALS}, the next ends at ${time}`;
}
